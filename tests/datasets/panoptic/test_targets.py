"""Conversions write inside their folder, and over no file that is not their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dense3d.apis.panoptic_evaluation import evaluate_panoptic
from dense3d.cli import convert_panoptic
from dense3d.cli.dispatch import main
from dense3d.datasets.kitti.objects import parse_objects
from dense3d.datasets.kitti.results import write_results
from dense3d.datasets.panoptic import (
    counted_segments,
    instances_to_panoptic,
    panoptic_to_semantic,
    write_id_map,
    write_panoptic,
)
from dense3d.errors import DataError
from dense3d.files import inside

CATEGORIES = [{"id": 3, "name": "cup", "isthing": 1}, {"id": 9, "name": "wall", "isthing": 0}]
PHOTO = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A photograph outside of all folders that are written to."""
    (tmp_path / "home").mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "home" / "photo.png")
    return tmp_path


def outside(home: Path) -> dict[str, str]:
    return {
        "absolute": str(home / "home" / "photo.png"),
        "up": "../home/photo.png",
        "up and down": "x/../../home/photo.png",
        "Windows": "..\\home\\photo.png",
        "drive": "C:/photo.png",
        "nothing": "",
        "dot": ".",
        "folder": "a/",
        "zero": "a\0.png",
    }


def instances(home: Path, *names: str) -> Path:
    images = [{"id": i, "file_name": name, "height": 4, "width": 4} for i, name in enumerate(names, 1)]
    rle = {"size": [4, 4], "counts": [0, 8, 8]}
    entries = [
        {
            "id": i,
            "image_id": i,
            "category_id": 3,
            "bbox": [0, 0, 2, 4],
            "area": 8,
            "iscrowd": 0,
            "segmentation": rle,
        }
        for i in range(1, len(names) + 1)
    ]
    path = home / "in.json"
    path.write_text(json.dumps({"images": images, "annotations": entries, "categories": CATEGORIES}))
    return path


def panoptic(home: Path, *names: str) -> Path:
    ids = np.array([[1, 1, 0, 0]] * 4)
    segments = counted_segments(ids, [{"id": 1, "category_id": 3}])
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 4, "width": 4} for i in range(1, len(names) + 1)]
    annotations = [
        {"image_id": i, "file_name": name, "segments_info": segments} for i, name in enumerate(names, 1)
    ]
    write_panoptic(home / "maps.json", annotations, images, CATEGORIES)
    for name in names:
        if name and not Path(name).is_absolute() and "\0" not in name and Path(name).suffix == ".png":
            write_id_map(home / "maps" / name, ids) if ".." not in name else None
    (home / "maps").mkdir(exist_ok=True)
    return home / "maps.json"


def photo_is_whole(home: Path) -> bool:
    return np.array_equal(np.asarray(Image.open(home / "home" / "photo.png")), PHOTO)


@pytest.mark.parametrize("name", outside(Path("x")))
def test_names_that_lead_out(home: Path, name: str) -> None:
    file = outside(home)[name]
    sentence = r"json: .*file.name.*(leads out of|names no file|name the file)"
    with pytest.raises(DataError, match=sentence):
        instances_to_panoptic(instances(home, file), home / "out.json", CATEGORIES)
    with pytest.raises(DataError, match=sentence):
        panoptic_to_semantic(panoptic(home, file), home / "classes")
    assert photo_is_whole(home)
    assert not (home / "out.json").exists()
    assert sorted(path.name for path in home.iterdir()) == ["home", "in.json", "maps", "maps.json"]


@pytest.mark.parametrize("convert", ["instances", "panoptic"])
def test_links_that_lead_out(home: Path, convert: str) -> None:
    (home / "out").mkdir()
    (home / "out" / "sub").symlink_to(home / "home")
    with pytest.raises(DataError, match=r"'sub/photo\.png' leads out of"):
        if convert == "instances":
            instances_to_panoptic(instances(home, "sub/photo.jpg"), home / "out.json", CATEGORIES)
        else:
            panoptic_to_semantic(panoptic(home, "sub/photo.png"), home / "out")
    assert photo_is_whole(home)


def test_the_folder_itself_may_be_a_link(home: Path) -> None:
    (home / "disk").mkdir()
    (home / "out").symlink_to(home / "disk")
    instances_to_panoptic(instances(home, "a/b.jpg"), home / "out.json", CATEGORIES)
    assert (home / "disk" / "a" / "b.png").is_file()


def test_photographs_in_the_folder_stay(home: Path) -> None:
    """``val.json`` beside the folder ``val`` of images."""
    source = instances(home, "photo.png")
    with pytest.raises(DataError, match=r"home/photo\.png exists and is no result of this conversion"):
        instances_to_panoptic(source, home / "home.json", CATEGORIES)
    with pytest.raises(DataError, match=r"home/photo\.png exists and is no result"):
        panoptic_to_semantic(panoptic(home, "photo.png"), home / "home")
    assert photo_is_whole(home)


def test_a_conversion_may_be_repeated(home: Path) -> None:
    for _ in range(2):
        instances_to_panoptic(instances(home, "a.jpg", "b/a.jpg"), home / "out.json", CATEGORIES)
        assert panoptic_to_semantic(panoptic(home, "a.png", "b/a.png"), home / "classes") == 2
    assert np.asarray(Image.open(home / "classes" / "b" / "a.png")).tolist() == [[3, 3, 0, 0]] * 4


def test_two_images_of_one_name(home: Path) -> None:
    with pytest.raises(DataError, match=r"image 2: its file .*out/x\.png is also that of .*image 1"):
        instances_to_panoptic(instances(home, "x.jpg", "x.jpeg"), home / "out.json", CATEGORIES)
    with pytest.raises(DataError, match=r"image 2 \(./x\.png\): its file .*x\.png is also that of"):
        panoptic_to_semantic(panoptic(home, "x.png", "./x.png"), home / "out")


def test_what_is_read_stays(home: Path, capsys: pytest.CaptureFixture) -> None:
    source = instances(home, "a.jpg")
    (home / "classes").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(home / "classes" / "a.png")
    with pytest.raises(DataError, match="the result would replace what is converted"):
        instances_to_panoptic(source, home / "out.json", CATEGORIES, home / "classes", home / "classes")
    with pytest.raises(DataError, match=r"name the file with \.json"):
        instances_to_panoptic(source, home / "out", CATEGORIES)
    maps = panoptic(home, "a.png")
    before = maps.read_text()
    assert (
        main(["convert-panoptic", "detection2panoptic", str(source), str(maps), "--categories", str(maps)])
        == 2
    )
    assert "is read for this conversion" in capsys.readouterr().err
    (home / "link").symlink_to(home / "maps")
    with pytest.raises(DataError, match="would replace what is converted"):
        panoptic_to_semantic(maps, home / "link")
    with pytest.raises(DataError, match="is one of the files to evaluate"):
        evaluate_panoptic(maps, maps, json_file=maps)
    assert maps.read_text() == before


def test_frames_that_lead_out(home: Path) -> None:
    with pytest.raises(DataError, match=r"'\.\./home/x\.txt' leads out of"):
        write_results(home / "results", {"../home/x": parse_objects("", is_result=True)})
    assert not (home / "home" / "x.txt").exists()


def test_places_inside(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b c.png") == tmp_path / "a" / "b c.png"
    assert inside(tmp_path, "./a..b.png") == tmp_path / "a..b.png"
    assert inside("relative", "é.png").as_posix() == "relative/é.png"
    for name in (None, 7, "/a", "..", "a/..", "a/../../b", "~\n"):
        with pytest.raises(DataError):
            inside(tmp_path, name)


def test_the_command_asks_first() -> None:
    with pytest.raises(DataError, match="give the result another name"):
        convert_panoptic.refuse_same("./a.json", "a.json")

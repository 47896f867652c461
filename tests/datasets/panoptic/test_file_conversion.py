"""Whole data sets between panoptic maps, instances and maps of classes: the official example's encodings."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as mask_tools
from pycocotools.coco import COCO

from dense3d.datasets.panoptic import (
    Instance,
    PanopticFile,
    decode_mask,
    instances_to_panoptic,
    panoptic_of,
    panoptic_to_instances,
    panoptic_to_semantic,
    read_categories,
    read_id_map,
    read_panoptic,
    write_id_map,
    write_panoptic,
)
from dense3d.errors import ConfigError, DataError

TOOL = Path(__file__).resolve().parents[3] / "tools/convert_panoptic.py"
CATEGORIES = [
    {"id": 3, "name": "cup", "isthing": 1},
    {"id": 5, "name": "fork", "isthing": 1},
    {"id": 90, "name": "wall", "isthing": 0},
]


@pytest.fixture
def example(sample_data: Path) -> Path:
    return sample_data / "coco_panoptic_examples"


def content(panoptic: PanopticFile, folder: Path) -> dict:
    """What a panoptic data set says, whatever its ids and the order of its segments."""
    said = {}
    for image, annotation in panoptic.annotations.items():
        ids = read_id_map(folder / annotation["file_name"])
        said[image] = {
            (s["category_id"], s["iscrowd"], s["area"], tuple(s["bbox"]), (ids == s["id"]).tobytes())
            for s in annotation["segments_info"]
        }
    return said


def content_of(json_file: Path) -> dict:
    return content(read_panoptic(json_file), json_file.with_suffix(""))


def official(example: Path, tmp_path: Path) -> Path:
    """The panoptic example with its categories, as a data set's file has them."""
    document = json.loads((example / "panoptic_examples.json").read_text())
    document["categories"] = read_categories(example / "panoptic_coco_categories.json")
    path = tmp_path / "official.json"
    path.write_text(json.dumps(document))
    return path


def two_channels(example: Path, name: str) -> np.ndarray:
    """Category ids (H, W) of the example in the two-channel encoding; 0 is void."""
    return np.asarray(Image.open(example / "panoptic_examples_2ch_format" / name))[..., 0]


def test_classes_of_the_official_example(example: Path, tmp_path: Path) -> None:
    source = official(example, tmp_path)
    assert panoptic_to_semantic(source, tmp_path / "maps", example / "panoptic_examples") == 2
    for path in sorted((tmp_path / "maps").iterdir()):
        assert np.array_equal(np.asarray(Image.open(path)), two_channels(example, path.name))
    panoptic_to_semantic(source, tmp_path / "labels", example / "panoptic_examples", values="labels")
    numbers = [0, *(c["id"] for c in read_categories(source))]  # of void and of each label
    for path in sorted((tmp_path / "labels").iterdir()):
        labels = np.asarray(Image.open(path)).astype(np.uint8) + np.uint8(1)  # 255 becomes 0
        assert np.array_equal(np.array(numbers)[labels], two_channels(example, path.name))


def test_official_detections_give_the_official_maps(example: Path, tmp_path: Path) -> None:
    """Things and stuff as run lengths, as panopticapi's detection2panoptic takes them."""
    expected = content(read_panoptic(official(example, tmp_path)), example / "panoptic_examples")
    source, target = example / "panoptic_coco_detection_format.json", tmp_path / "o" / "p.json"
    categories = read_categories(example / "panoptic_coco_categories.json")
    done = []
    made = instances_to_panoptic(source, target, categories, on_image=lambda *counts: done.append(counts))
    assert made == (50, 0)
    assert done == [(1, 2), (2, 2)]
    assert content_of(target) == expected
    written = json.loads(target.read_text())
    assert written["images"] == json.loads(source.read_text())["images"]
    assert written["categories"] == categories


def test_things_and_maps_of_classes_give_the_official_maps(example: Path, tmp_path: Path) -> None:
    source = official(example, tmp_path)
    expected = content(read_panoptic(source), example / "panoptic_examples")
    panoptic_to_instances(source, tmp_path / "things.json", example / "panoptic_examples")
    (tmp_path / "maps").mkdir()
    for path in (example / "panoptic_examples_2ch_format").iterdir():
        Image.fromarray(two_channels(example, path.name)).save(tmp_path / "maps" / path.name)
    target = tmp_path / "p.json"
    instances_to_panoptic(tmp_path / "things.json", target, read_categories(source), tmp_path / "maps")
    assert content_of(target) == expected


@pytest.mark.parametrize("values", ["categories", "labels"])
def test_real_annotations_there_and_back(sample_data, tmp_path, monkeypatch, capsys, values) -> None:
    source = sample_data / "coco_panoptic/annotations/panoptic_val2017.json"
    things, maps, target = tmp_path / "things.json", tmp_path / "maps", tmp_path / "p.json"
    assert run(monkeypatch, "panoptic2detection", source, things) == 0
    assert run(monkeypatch, "panoptic2semantic", source, maps, "--values", values) == 0
    options = ("--categories", source, "--semantic-dir", maps, "--values", values)
    assert run(monkeypatch, "detection2panoptic", things, target, *options) == 0
    expected = content_of(source)
    assert content_of(target) == expected
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"24 maps of classes: {maps}"
    assert lines[2] == f"{sum(map(len, expected.values()))} segments: {target}"
    categories = {c["id"]: c for c in read_categories(source)}
    listed = {(image, s[0], s[2]) for image, said in expected.items() for s in said}
    coco = json.loads(things.read_text())
    assert {(a["image_id"], a["category_id"], a["area"]) for a in coco["annotations"]} == {
        entry for entry in listed if categories[entry[1]]["isthing"]
    }


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["convert_panoptic.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name="__main__")
    return end.value.code


@pytest.mark.parametrize("overlap", ["first", "smallest"])
def test_real_instances_overlap(example: Path, sample_data: Path, tmp_path: Path, overlap: str) -> None:
    source = sample_data / "coco/annotations/instances_val2017.json"
    categories = read_categories(example / "panoptic_coco_categories.json")
    target = tmp_path / "p.json"
    with pytest.raises(
        DataError, match=r"instances_val2017\.json: image \d+: instance .* overlaps .*'smallest'"
    ):
        instances_to_panoptic(source, target, categories)
    assert not target.exists()
    segments, left_out = instances_to_panoptic(source, target, categories, overlap=overlap)
    coco, panoptic = COCO(source), read_panoptic(target)
    assert segments + left_out == len(coco.anns)
    for image, annotation in panoptic.annotations.items():
        ids = read_id_map(target.with_suffix("") / annotation["file_name"])
        annotations = coco.loadAnns(coco.getAnnIds(image))
        masks = [coco.annToMask(a).astype(bool) for a in annotations]
        expected = np.zeros_like(ids)
        sizes = [mask.sum() if overlap == "smallest" else 0 for mask in masks]
        order = sorted((a["iscrowd"], size, i) for i, (a, size) in enumerate(zip(annotations, sizes)))
        for *_, i in order[::-1]:  # what is painted last lies on top
            expected[masks[i]] = i + 1
        assert np.array_equal(ids, expected)
        for segment in annotation["segments_info"]:
            assert segment["area"] == (ids == segment["id"]).sum() > 0


@settings(deadline=None, max_examples=60)
@given(st.lists(arrays(bool, (3, 4)), min_size=1, max_size=4), st.sampled_from(["first", "smallest"]))
def test_each_pixel_goes_to_one_that_covers_it(masks: list[np.ndarray], overlap: str) -> None:
    ids, segments = panoptic_of(
        [Instance(m, 3) for m in masks], np.full((3, 4), 90), {90: 90}, overlap=overlap
    )
    for number in set(ids.ravel().tolist()):
        inside = ids == number
        if number > len(masks):
            assert not np.any(masks, axis=0)[inside].any()
            continue
        assert masks[number - 1][inside].all()
        for i, other in enumerate(masks, start=1):
            if (other & inside).any():
                assert number <= i if overlap == "first" else masks[number - 1].sum() <= other.sum()
    assert {s["id"] for s in segments} == set(ids.ravel().tolist())


def test_crowds_give_way() -> None:
    crowd, thing = np.array([[1, 1, 1, 0]], bool), np.array([[0, 1, 1, 1]], bool)
    for overlap in ("first", "smallest"):
        ids, segments = panoptic_of(
            [Instance(crowd, 3, iscrowd=True), Instance(thing, 3)], np.zeros((1, 4)), {}, overlap=overlap
        )
        assert ids.tolist() == [[1, 2, 2, 2]]
        assert [s["iscrowd"] for s in segments] == [1, 0]


def test_disagreeing_maps_are_converted_if_asked_for(tmp_path: Path, monkeypatch, capsys) -> None:
    ids = np.array([[7, 7, 8], [9, 9, 0]])
    write_id_map(tmp_path / "p" / "a.png", ids)
    segments = [
        {"id": 7, "category_id": 3, "area": 5, "bbox": [0, 0, 2, 1]},
        {"id": 9, "category_id": 90, "area": 2, "bbox": [0, 1, 2, 1]},
        {"id": 4, "category_id": 5, "area": 1, "bbox": [0, 0, 1, 1]},
    ]
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": segments}
    image = {"id": 1, "file_name": "a.jpg", "height": 2, "width": 3}
    write_panoptic(tmp_path / "p.json", [annotation], [image], CATEGORIES)
    for name, target in (("panoptic2detection", "i.json"), ("panoptic2semantic", "s")):
        assert run(monkeypatch, name, tmp_path / "p.json", tmp_path / target) == 2
        assert "strict=False (on command lines --lenient)" in capsys.readouterr().err
        assert not (tmp_path / target).exists()
        assert run(monkeypatch, name, tmp_path / "p.json", tmp_path / target, "--lenient") == 0
    (thing,) = json.loads((tmp_path / "i.json").read_text())["annotations"]
    assert (thing["category_id"], thing["area"], thing["bbox"], thing["iscrowd"]) == (3, 2, [0, 0, 2, 1], 0)
    assert np.asarray(Image.open(tmp_path / "s/a.png")).tolist() == [[3, 3, 0], [90, 90, 0]]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 5, 1, 5, 4, 1, 4], [6, 0, 8, 0, 8, 2]],
        {"size": [5, 8], "counts": [3, 4, 10, 20, 3]},
        mask_tools.frPyObjects({"size": [5, 8], "counts": [3, 4, 10, 20, 3]}, 5, 8),
    ],
    ids=["polygons", "numbers", "text"],
)
def test_masks_are_those_of_pycocotools(segmentation) -> None:
    coco = COCO()
    coco.imgs = {1: {"id": 1, "height": 5, "width": 8}}
    expected = coco.annToMask({"image_id": 1, "segmentation": segmentation})
    assert np.array_equal(decode_mask(segmentation, (5, 8)), expected)
    assert expected.any()


def small(folder: Path) -> dict:
    """An image with one cup before a wall."""
    (folder / "maps").mkdir()
    Image.fromarray(np.array([[90, 3], [90, 90]], np.uint8)).save(folder / "maps" / "a.png")
    annotation = {"id": 4, "image_id": 1, "category_id": 3, "bbox": [1, 0, 1, 1]}
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 2, "width": 2}],
        "annotations": [annotation | {"segmentation": {"size": [2, 2], "counts": [2, 1, 1]}}],
        "categories": CATEGORIES[:2],
    }


def segmentation(value):
    return lambda document, folder: document["annotations"][0].update(segmentation=value)


def save(pixels):
    return lambda document, folder: Image.fromarray(np.array(pixels, np.uint8)).save(folder / "maps/a.png")


FAULTS = {
    "box": (segmentation([[0, 0, 1, 1]]), "annotation 4 of image 1: segmentation is .* three x, y pairs"),
    "no mask": (segmentation(None), r"annotation 4: its segmentation \[\]"),
    "empty": (segmentation([]), r"annotation 4: its segmentation \[\]"),
    "sum": (
        segmentation({"size": [2, 2], "counts": [2, 1]}),
        "annotation 4 .* add up to 3 pixels, its size to 4",
    ),
    "size": (segmentation({"size": [3, 2], "counts": [6]}), "are of 3 x 2 pixels .* image of 2 x 2"),
    "no counts": (segmentation({"size": [2, 2]}), "id 4.*segmentation has no 'counts'"),
    "no pixel": (segmentation({"size": [2, 2], "counts": [4]}), "image 1: instance 1 of 1 .* empty mask"),
    "category": (
        lambda d, folder: d["annotations"][0].update(category_id=6),
        "annotation 4: the list of categories has no id 6",
    ),
    "image": (lambda d, folder: d["annotations"][0].update(image_id=6), "annotation 4 .* is not in 'images'"),
    "number": (save([[90, 3], [91, 90]]), r"a\.png: the map has the number 91, .*void is 0"),
    "map size": (save([[90, 3]]), r"a\.png: 2 x 1 pixels, but its image has 2 x 2"),
    "colours": (save([[[9, 0, 0]] * 2] * 2), r"a\.png: the map of classes has 3 channels"),
    "missing": (lambda d, folder: (folder / "maps/a.png").unlink(), r"a\.png: the map of classes does not"),
    "broken": (lambda d, folder: (folder / "maps/a.png").write_bytes(b"x"), r"a\.png: not a readable PNG"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_input_is_named(tmp_path: Path, name: str) -> None:
    document = small(tmp_path)
    path, target = tmp_path / "i.json", tmp_path / "p.json"
    path.write_text(json.dumps(document))
    assert instances_to_panoptic(path, target, CATEGORIES, tmp_path / "maps") == (2, 0)
    target.unlink()
    change, sentence = FAULTS[name]
    change(document, tmp_path)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=sentence):
        instances_to_panoptic(path, target, CATEGORIES, tmp_path / "maps")
    assert [p.name for p in tmp_path.glob("*.json")] == ["i.json"]


def test_maps_of_classes_may_have_a_palette(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(json.dumps(small(tmp_path)))
    image = Image.open(tmp_path / "maps/a.png").convert("L")
    image.putpalette([channel for number in range(256) for channel in (number, 0, 255 - number)])
    image.save(tmp_path / "maps/a.png")
    assert Image.open(tmp_path / "maps/a.png").mode == "P"
    instances_to_panoptic(tmp_path / "i.json", tmp_path / "p.json", CATEGORIES, tmp_path / "maps")
    assert read_id_map(tmp_path / "p/a.png").tolist() == [[2, 1], [2, 2]]


def test_arguments_that_cannot_work(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(json.dumps(small(tmp_path)))
    convert = (tmp_path / "i.json", tmp_path / "p.json")
    with pytest.raises(DataError, match=r"the category id 900 cannot stand in a map of 8 bits.*'labels'"):
        instances_to_panoptic(*convert, [{**CATEGORIES[2], "id": 900}, *CATEGORIES[:2]], tmp_path / "maps")
    with pytest.raises(ConfigError, match="overlap='last' is none of 'refuse', 'first', 'smallest'"):
        instances_to_panoptic(*convert, CATEGORIES, overlap="last")
    with pytest.raises(DataError, match=r"i\.json: the result would replace what is converted"):
        instances_to_panoptic(convert[0], convert[0], CATEGORIES)
    (tmp_path / "c.json").write_text(json.dumps([{"id": 1, "name": "cup"}]))
    with pytest.raises(DataError, match=r"c\.json: category 0 has no 'isthing'"):
        read_categories(tmp_path / "c.json")
    with pytest.raises(DataError, match=r"i\.json: annotations of single|not in COCO's panoptic format"):
        panoptic_to_semantic(convert[0], tmp_path / "s")

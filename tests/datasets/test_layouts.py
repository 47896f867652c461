"""Layouts of public data sets: complete roots pass, and whatever is removed is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dense3d.datasets.layouts import check_layout
from dense3d.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    for split in ("train2017", "val2017"):
        touch(tmp_path, f"{split}/1.jpg", f"{split}/2.jpg", "annotations/x")
        document = dict(
            images=[dict(file_name="1.jpg"), dict(file_name="2.jpg")], annotations=[], categories=[]
        )
        (tmp_path / f"annotations/instances_{split}.json").write_text(json.dumps(document))
    return tmp_path


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    for frame in ("000000", "000001"):
        touch(tmp_path, *(f"training/{k}/{frame}.txt" for k in ("label_2", "calib")))
        touch(
            tmp_path,
            f"training/image_2/{frame}.png",
            f"testing/image_2/{frame}.png",
            f"testing/calib/{frame}.txt",
        )
    return tmp_path


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        touch(
            tmp_path,
            f"leftImg8bit/{split}/ulm/a_leftImg8bit.png",
            f"gtFine/{split}/ulm/a_gtFine_labelTrainIds.png",
        )
    return tmp_path


def test_subsets_are_no_fault(coco: Path) -> None:
    report = check_layout("coco", coco)
    assert report.ok, report.table()
    assert "found 2 of 118287" in report.table()


def test_files_named_by_the_annotations_must_be_there(coco: Path) -> None:
    (coco / "train2017" / "2.jpg").unlink()
    (fault,) = check_layout("coco", coco).faults
    assert "instances_train2017.json" in str(fault)
    assert "2.jpg" in str(fault)


def test_all_faults_at_once_and_nearest_names(coco: Path) -> None:
    (coco / "val2017").rename(coco / "val2014")
    (coco / "annotations" / "instances_train2017.json").write_text('{"images": [')
    sentences = [str(fault) for fault in check_layout("coco", coco).faults]
    assert len(sentences) == 2
    assert "'val2014'" in sentences[0]
    assert "breaks off" in sentences[1]


def test_kitti_needs_a_label_for_each_image_but_no_right_image(kitti: Path) -> None:
    report = check_layout("kitti", kitti)
    assert report.ok, report.table()
    assert any("stereo" in str(note) for note in report.notes)
    (kitti / "training" / "label_2" / "000001.txt").unlink()
    (fault,) = check_layout("kitti", kitti).faults
    assert "000001.txt" in str(fault)


def test_cityscapes_labels_have_to_be_made(cityscapes: Path) -> None:
    assert check_layout("cityscapes", cityscapes).ok
    labels = cityscapes / "gtFine/val/ulm/a_gtFine_labelTrainIds.png"
    labels.rename(labels.with_name("a_gtFine_labelIds.png"))
    (fault,) = check_layout("cityscapes", cityscapes).faults
    assert "csCreateTrainIdLabelImgs" in str(fault)


def test_ade20k_root_may_be_the_folder_around_it(tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    for split in ("training", "validation"):
        touch(root, f"images/{split}/a.jpg", f"annotations/{split}/a.png")
    assert check_layout("ade20k", tmp_path).ok
    touch(root, "images/training/b.jpg")
    (fault,) = check_layout("ade20k", root).faults
    assert "b.png" in str(fault)


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no 'coc'"):
        check_layout("coco", tmp_path / "coc")


@pytest.mark.parametrize("name", ["coco", "coco_panoptic", "ade20k", "kitti"])
def test_real_samples_have_their_layout(sample_data: Path, name: str) -> None:
    report = check_layout(name, sample_data / name)
    assert report.ok, report.table()


def test_command_line(coco: Path, repository: Path) -> None:
    (coco / "val2017" / "1.jpg").unlink()
    target = coco / "report.json"
    command = [sys.executable, repository / "tools" / "check_data.py", "coco", coco, "--json", target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "1.jpg" in done.stdout
    assert json.loads(target.read_text())["faults"][0]["rule"] == "files-missing"

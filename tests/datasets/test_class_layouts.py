"""``dense3d check-data class_folders``: splits whose classes differ, empty classes, images outside."""

from __future__ import annotations

import pytest
from PIL import Image

from dense3d.datasets.layouts import check_layout


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / split / name / "a.png")
    return tmp_path


def test_equal_folders_are_fine(root):
    report = check_layout("class_folders", root)
    assert report.ok and not report.notes
    assert [part["found"] for part in report.parts] == [2, 2]


def test_all_that_differs_is_told_at_once(root):
    (root / "val" / "dog").rename(root / "val" / "dogs")
    (root / "train" / "bird").mkdir()
    Image.new("RGB", (32, 32)).save(root / "train" / "stray.png")
    report = check_layout("class_folders", root)
    assert {fault.rule for fault in report.faults} == {
        "class-unknown",
        "class-missing",
        "image-without-class",
    }
    assert "did you mean 'dog'" in str(report.faults) or "dog" in str(report.faults[1])
    assert [note.rule for note in report.notes] == ["class-empty"]


def test_validation_alone_serves_to_evaluate_imagenet(root):
    (root / "train").rename(root / "elsewhere")
    report = check_layout("imagenet", root)
    assert report.ok and "training" in str(report.notes[0])

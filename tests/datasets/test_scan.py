"""The scan finds each planted fault, names file, item, rule and value, and reports all of them at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dense3d.datasets.scan import check_image, scan_coco, scan_segmentation
from dense3d.errors import DataError

CLASSES = ("disk", "box")


def scan(tiny, classes=CLASSES, decode: bool = True):
    return scan_coco(tiny.annotation_file, tiny.root / "images", classes, decode)


def test_sound_data_has_no_faults(tiny_coco) -> None:
    report = scan(tiny_coco)
    assert report.ok
    assert not report.notes
    assert (report.found, report.missing, report.empty, report.corrupt, report.annotations) == (4, 0, 1, 0, 3)


@pytest.mark.parametrize(
    ("edit", "rule", "parts"),
    [
        (lambda d: d["annotations"][1].update(bbox=[3, 3, -5, 4]), "box-negative", ["annotation 2", "-5"]),
        (
            lambda d: d["annotations"][1].update(bbox=[3, 3, float("nan"), 4]),
            "box-not-finite",
            ["annotation 2", "nan"],
        ),
        (lambda d: d["annotations"][0].update(bbox=[3, 3, 5]), "box-format", ["annotation 1", "[3, 3, 5]"]),
        (lambda d: d["annotations"][0].update(bbox=None, segmentation=[]), "box-format", ["None"]),
        (lambda d: d["annotations"][0].update(bbox=[90, 3, 5, 5]), "box-outside", ["annotation 1", "90"]),
        (lambda d: d["annotations"][0].update(category_id=7), "unknown-category", ["annotation 1", "7"]),
        (lambda d: d["annotations"][0].update(image_id=99), "unknown-image", ["annotation 1", "99"]),
        (lambda d: d["annotations"][0].update(id=2), "duplicate-id", ["annotation 2"]),
        (lambda d: d["annotations"][0].update(segmentation=[[1, 2, 3]]), "polygon-format", ["annotation 1"]),
        (lambda d: d["images"][0].update(width=None), "image-size", ["image 10", "None"]),
        (lambda d: d["images"][0].update(width=50), "size-differs", ["000.jpg", "48 x 32", "50 x 32"]),
        (lambda d: d["categories"][1].update(name="cube"), "class-list", ["box", "cube"]),
        (lambda d: d["categories"].reverse(), "class-order", ["disk, box", "box, disk"]),
        (lambda d: d["images"].clear() or d["annotations"].clear(), "no-images", []),
    ],
)
def test_faults_of_annotations(tiny_coco, edit, rule: str, parts: list[str]) -> None:
    tiny_coco.change(edit)
    faults = [fault for fault in scan(tiny_coco).faults if fault.rule == rule]
    assert len(faults) == 1
    for part in [*parts, rule]:
        assert part in str(faults[0])


@pytest.mark.parametrize(
    ("box", "rule"), [([3, 3, 0, 4], "box-empty"), ([3, 3, 80, 4], "box-exceeds")], ids=["empty", "exceeds"]
)
def test_what_is_dealt_with_is_a_note(tiny_coco, box: list[int], rule: str) -> None:
    tiny_coco.change(lambda d: d["annotations"][0].update(bbox=box))
    report = scan(tiny_coco)
    assert report.ok
    assert [note.rule for note in report.notes] == [rule]


def test_categories_left_out_on_purpose_are_counted(tiny_coco) -> None:
    report = scan(tiny_coco, classes=("disk",))
    assert report.ok
    assert "1 annotations" in report.notes[0].value
    assert "box" in report.notes[0].value


def test_a_string_is_no_class_list(tiny_coco) -> None:
    (fault,) = scan(tiny_coco, classes="disk").faults
    assert "('disk',)" in str(fault)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["does not exist", "annotations.jso'"]),
        ("", ["zero bytes"]),
        ('{"images": [{"id": 1, "file_na', ["breaks off", "line 1"]),
        ('{"images": [], "annotations": [], "categories": [],,}', ["not valid JSON", "column"]),
        ("[]", ["expected a JSON object", "list"]),
        ('{"shapes": []}', ["'images'", "shapes"]),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', ["images[0]", "'file_name'"]),
    ],
)
def test_unreadable_annotation_files(tiny_coco, content: str | None, parts: list[str]) -> None:
    if content is None:
        tiny_coco.annotation_file.rename(tiny_coco.root / "annotations.jso")
    else:
        tiny_coco.annotation_file.write_text(content)
    fault = scan(tiny_coco).faults[0]
    assert fault.file == str(tiny_coco.annotation_file)
    for part in parts:
        assert part in str(fault)


def test_panoptic_file_is_named_as_such(tiny_coco) -> None:
    tiny_coco.change(lambda d: d.update(annotations=[dict(image_id=10, segments_info=[], file_name="a.png")]))
    (fault,) = scan(tiny_coco).faults
    assert "panoptic" in str(fault)


@pytest.mark.parametrize("decode", [True, False])
def test_faults_of_images_all_at_once(tiny_coco, decode: bool) -> None:
    tiny_coco.image(0).unlink()
    tiny_coco.image(1).write_bytes(b"")
    tiny_coco.truncate(2)
    tiny_coco.image(3).write_bytes(b"<html>not found</html>")
    report = scan(tiny_coco, decode=decode)
    assert [f.rule for f in report.faults] == ["file-missing", "zero-bytes", "truncated", "not-an-image"]
    assert (report.found, report.missing, report.corrupt) == (0, 1, 3)
    assert [Path(f.file).name for f in report.faults] == ["000.jpg", "001.jpg", "002.jpg", "003.jpg"]
    with pytest.raises(DataError, match=r"000\.jpg.*and 3 more"):
        report.raise_if_faulty()


def test_truncated_png(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(path)
    assert check_image(path) is None
    path.write_bytes(path.read_bytes()[:600])
    assert check_image(path).rule == "truncated"


def test_trailing_bytes_are_no_fault(tiny_coco) -> None:
    path = tiny_coco.image(0)
    path.write_bytes(path.read_bytes() + b"\0" * 200)
    assert check_image(path, (48, 32)) is None


def test_rotation_in_exif_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    assert check_image(path, (20, 40)) is None
    assert check_image(path, (40, 20)).rule == "size-differs"


def test_missing_folder_is_one_fault(tiny_coco) -> None:
    report = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "image", CLASSES)
    assert [f.rule for f in report.faults] == ["folder-missing"]
    assert "'images'" in str(report.faults[0])
    assert report.missing == 4


def test_report_is_written_as_json(tiny_coco) -> None:
    tiny_coco.image(0).unlink()
    report = scan(tiny_coco)
    target = tiny_coco.root / "report.json"
    report.save(target)
    (loaded,) = json.loads(target.read_text())
    assert loaded["missing"] == 1
    assert loaded["faults"][0]["rule"] == "file-missing"
    assert "file-missing" in report.table()


def test_label_maps(tmp_path: Path) -> None:
    pairs = []
    for index, (size, label) in enumerate([((8, 6), 2), ((8, 6), 9), ((6, 8), 0)]):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{index}.jpg")
        Image.new("L", size, label).save(tmp_path / f"{index}.png")
        pairs.append((str(tmp_path / f"{index}.jpg"), str(tmp_path / f"{index}.png")))
    Image.new("RGB", (8, 6)).save(tmp_path / "colour.png")
    pairs += [(pairs[0][0], str(tmp_path / "colour.png")), (pairs[0][0], str(tmp_path / "absent.png"))]
    report = scan_segmentation("labels", pairs, num_classes=3)
    rules = [(Path(f.file).name, f.rule) for f in report.faults]
    assert rules == [
        ("1.png", "label-range"),
        ("2.png", "size-differs"),
        ("colour.png", "label-format"),
        ("absent.png", "file-missing"),
    ]
    assert "labels 9" in str(report.faults[0])
    assert report.found == 1


def test_zero_is_unlabelled_where_labels_start_at_one(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    Image.new("L", (8, 6), 3).save(tmp_path / "a.png")
    pair = [(str(tmp_path / "a.jpg"), str(tmp_path / "a.png"))]
    assert scan_segmentation("labels", pair, num_classes=3, reduce_zero_label=True).ok
    assert not scan_segmentation("labels", pair, num_classes=3).ok


def test_real_coco_sample_is_sound(sample_data: Path) -> None:
    for split, images, objects in (("train2017", 90, 913), ("val2017", 60, 526)):
        file = sample_data / "coco" / "annotations" / f"instances_{split}.json"
        report = scan_coco(file, sample_data / "coco" / split)
        assert report.ok, report.table()
        assert (report.found, report.annotations) == (images, objects)


@pytest.mark.parametrize("name", ["images\\000.jpg", "images%2F000.jpg", "images/000.png", "images/000.JPG"])
def test_a_file_that_is_there_under_another_name(tiny_coco, name: str) -> None:
    """As tools under Windows, or of the web, write names."""
    tiny_coco.change(lambda d: d["images"][0].update(file_name=name))
    (fault,) = scan_coco(tiny_coco.annotation_file, tiny_coco.root, CLASSES, False).faults[:1]
    assert fault.rule == "file-missing" and f"but {tiny_coco.image(0)} does" in str(fault)
    assert "correct the name" in str(fault)

"""COCO instance annotations and their images, all checked at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dense3d.datasets.scan.coco_file import CocoFile, describe_absent, open_coco
from dense3d.datasets.scan.coco_rules import is_file_name
from dense3d.datasets.scan.images import check_images
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.datasets.scan.schema import shortened
from dense3d.errors import DataError, did_you_mean
from dense3d.image_files import Reader


def scan_coco(
    annotation_file: str | Path,
    image_folder: str | Path,
    classes: Sequence[str] | None = None,
    decode_images: bool = True,
    workers: int = 2,
    masks: bool = False,
    annotations: bool = True,
    allow_lost_boxes: bool = False,
    polygons_only: bool = False,
    reader: Reader | None = None,
) -> ScanReport:
    """Check a COCO instances file and the images that it names, and report all faults at once.

    Args:
        annotation_file: JSON file in COCO's instances layout; boxes are ``[x, y, width, height]`` in pixels.
        image_folder: folder that ``file_name`` is relative to.
        classes: class names that the model is to learn, in order.
        decode_images: decode every pixel; otherwise see :func:`dense3d.datasets.scan.check_image`.
        workers: threads.
        masks: every object needs a mask.
        annotations: the file must have the list ``annotations``, which files of test images lack.
        allow_lost_boxes, polygons_only: as for :func:`findings_of`.
        reader: how the images are loaded.

    Returns:
        The report. A file that cannot be parsed is a fault there, not an exception.
    """
    report = ScanReport(str(annotation_file))
    try:
        opened = open_coco(annotation_file, masks=masks, annotations=annotations)
    except DataError as error:
        file, _, value = str(error).partition(": ")
        report.faults.append(Fault("annotation-file", file, value or str(error)))
        return report
    document = opened.document
    faults, report.notes = findings_of(opened, classes, allow_lost_boxes, polygons_only)
    report.annotations = len(document["annotations"])
    annotated = {a["image_id"] for a in document["annotations"]}
    report.empty = sum(image["id"] not in annotated for image in document["images"])
    image_faults = check_image_files(document, image_folder, decode_images, workers, reader)
    report.missing = sum(f.rule in ("file-missing", "folder-missing") for f in image_faults)
    if any(f.rule == "folder-missing" for f in image_faults):
        report.missing = len(document["images"])
    report.corrupt = sum(f.rule in ("zero-bytes", "not-an-image", "truncated") for f in image_faults)
    report.found = len(document["images"]) - report.missing - report.corrupt
    report.faults = [*faults, *image_faults]
    return report


def check_image_files(
    document: dict[str, Any],
    image_folder: str | Path,
    decode: bool,
    workers: int = 2,
    reader: Reader | None = None,
) -> list[Fault]:
    """Faults of the image files, each with the id of its image."""
    images, folder = document["images"], Path(image_folder)
    images = [image for image in images if is_file_name(image["file_name"])]  # others are faults already
    if images and not os.path.isdir(folder):  # noqa: PTH112 - unlike Path's, for names that are too long
        return [
            Fault(
                "folder-missing",
                str(folder),
                describe_absent(folder),
                remedy="correct data_root or data_prefix",
            )
        ]
    paths = [str(folder / image["file_name"]) for image in images]
    sizes = [_stated_size(image) for image in images]
    found = check_images(paths, sizes, decode, workers, reader)
    return [
        Fault(f.rule, f.file, f.value, f"image {image['id']}", f.remedy, image["id"])
        for image, f in zip(images, found)
        if f is not None
    ]


def findings_of(
    opened: CocoFile,
    classes: Sequence[str] | None,
    allow_lost_boxes: bool = False,
    polygons_only: bool = False,
) -> tuple[list[Fault], list[Fault]]:
    """Faults and notes of a file that is to teach these classes.

    Args:
        opened: the file.
        classes: class names that the model is to learn, in order; None for all categories.
        allow_lost_boxes: that more than half of the boxes is left out of training is no fault.
        polygons_only: objects with run lengths would not be learned.
    """
    findings = opened.findings
    faults, notes = check_classes(opened.document, findings.file, classes)
    if any(fault.rule == "class-list" for fault in faults):
        return [*findings.faults, *faults], [*notes, *findings.notes]
    wanted = {c["id"] for c in opened.document["categories"] if classes is None or c["name"] in classes}
    boxes = sum(findings.boxes[i] for i in wanted)
    lost = {reason: sum(counts[i] for i in wanted) for reason, counts in findings.lost.items()}
    if sum(lost.values()) * 2 > boxes and not faults:
        value, remedy = _lost(lost, boxes)
        (notes if allow_lost_boxes else faults).append(
            Fault("boxes-lost", findings.file, value, remedy=remedy)
        )
    if polygons_only:
        value, remedy = "its mask is run lengths, which this pipeline leaves out", "set poly2mask=True in it"
        faults += [
            Fault("mask-no-polygon", findings.file, value, _item(a), remedy, a["image_id"])
            for a in opened.document["annotations"]
            if isinstance(a["segmentation"], dict) and not a["iscrowd"] and a["category_id"] in wanted
        ]
    return [*findings.faults, *faults], [*notes, *findings.notes]


CAUSES = {
    "smaller than one pixel": "give boxes in pixels, not from 0 to 1",
    "without a pixel in their mask": "give masks in pixels, not from 0 to 1",
    "crowds": "crowds are not learned, write iscrowd 0 for single objects",
}


def _lost(lost: dict[str, int], boxes: int) -> tuple[str, str]:
    """What is said of boxes that would not be learned, by reason, and the remedy for most of them."""
    counts = {reason: number for reason, number in lost.items() if number}
    parts = [f"{number} of {boxes} boxes are {reason}" for reason, number in counts.items()]
    value = f"{', '.join(parts)} and would be left out"
    cause = CAUSES[max(counts, key=counts.get)]
    return value, f"{cause}; if it is meant, set allow_lost_boxes=True in the dataset"


def masks_wanted(pipeline: Iterable[Any]) -> tuple[bool, bool]:
    """Whether transforms, built or as configs, load masks, and whether from polygons alone."""
    wanted = polygons_only = False
    for step in pipeline:
        settings = step if isinstance(step, dict) else getattr(step, "__dict__", {})
        if settings.get("with_mask") is True:
            wanted = True
            polygons_only |= settings.get("poly2mask", True) is False
        inner = settings.get("transforms")
        if isinstance(inner, (list, tuple)) and inner:
            steps = [one for part in inner for one in (part if isinstance(part, (list, tuple)) else [part])]
            deeper = masks_wanted(steps)
            wanted, polygons_only = wanted or deeper[0], polygons_only or deeper[1]
    return wanted, polygons_only


def check_classes(
    document: dict[str, Any], file: str, classes: Sequence[str] | None
) -> tuple[list[Fault], list[Fault]]:
    """Do the class names of the config and the categories of the file agree, and in order?"""
    if classes is None:
        return [], []
    if isinstance(classes, str):
        value = f"classes is the string {classes!r}, not a list"
        return [Fault("class-list", file, value, remedy=f"write metainfo=dict(classes=({classes!r},))")], []
    is_list = isinstance(classes, (list, tuple))
    if not is_list or not classes or not all(isinstance(name, str) for name in classes):
        value = f"classes are {shortened(tuple(classes) if is_list else classes)}, not names"
        return [Fault("class-list", file, value, remedy="write the names of categories")], []
    names = [category["name"] for category in document["categories"]]
    absent = [name for name in classes if name not in names]
    if absent:
        hint = did_you_mean(absent[0], names) if len(absent) < len(classes) else ""
        value = (
            f"{len(absent)} of the {len(classes)} classes of the config are no category of the file, "
            f"which has {len(names)}: {_first(absent)} against {_first(names)}{hint}"
        )
        return [Fault("class-list", file, value, remedy="set metainfo=dict(classes=...) of the dataset")], []
    in_order = [name for name in names if name in set(classes)]
    if in_order != list(classes):
        value = (
            f"classes are in another order than the categories: {_first(classes)} against {_first(in_order)}"
        )
        remedy = "labels follow the file: write metainfo=dict(classes=...) in its order"
        return [Fault("class-order", file, value, remedy=remedy)], []
    left_out = [name for name in names if name not in set(classes)]
    ids = {c["id"] for c in document["categories"] if c["name"] in set(left_out)}
    count = sum(a["category_id"] in ids for a in document["annotations"])
    if not count:
        return [], []
    value = f"{count} annotations are of categories that are not among the classes: {_first(left_out)}"
    return [], [Fault("category-left-out", file, value, remedy="they are not learned")]


def _stated_size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height in pixels as the file states them, or None if it does not."""
    size = (image.get("width"), image.get("height"))
    return size if all(isinstance(side, int) and side > 0 for side in size) else None


def _item(annotation: dict[str, Any]) -> str:
    return f"annotation {annotation['id']} of image {shortened(annotation['image_id'])}"


def _first(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(
        name if len(name) < 60 and name.isprintable() else shortened(name) for name in names[:most]
    )
    return f"{shown}, ..." if len(names) > most else shown

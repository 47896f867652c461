"""The rules on COCO instance annotations and their images, all checked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.scan.coco_file import describe_absent, read_coco
from dense3d.datasets.scan.images import check_images
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.errors import DataError, did_you_mean
from dense3d.image_files import Reader


def scan_coco(
    annotation_file: str | Path,
    image_folder: str | Path,
    classes: Sequence[str] | None = None,
    decode_images: bool = True,
    workers: int = 2,
    reader: Reader | None = None,
) -> ScanReport:
    """Check a COCO instances file and the images that it names, and report all faults at once.

    Args:
        annotation_file: JSON file in COCO's instances layout; boxes are ``[x, y, width, height]`` in pixels.
        image_folder: folder that ``file_name`` is relative to.
        classes: class names that the model is to learn, in order.
        decode_images: decode every pixel; otherwise see :func:`dense3d.datasets.scan.check_image`.
        workers: threads.
        reader: how the images are loaded.

    Returns:
        The report. A file that cannot be parsed is a fault there, not an exception.
    """
    report = ScanReport(str(annotation_file))
    try:
        document = read_coco(annotation_file)
    except DataError as error:
        file, _, value = str(error).partition(": ")
        report.faults.append(Fault("annotation-file", file, value or str(error)))
        return report
    faults, report.notes = check_annotations(document, annotation_file, classes)
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
    if images and not folder.is_dir():
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


def check_annotations(
    document: dict[str, Any], file: str | Path, classes: Sequence[str] | None = None
) -> tuple[list[Fault], list[Fault]]:
    """All rules on the contents of a COCO file.

    Returns:
        Faults, and notes on what is unusual but dealt with.
    """
    file = str(file)
    faults, notes = check_classes(document, file, classes)
    faults += _duplicates(document["images"], "image", file)
    faults += _duplicates(document["annotations"], "annotation", file)
    if not document["images"]:
        faults.append(Fault("no-images", file, "the list 'images' is empty"))
    sizes = {image["id"]: _stated_size(image) for image in document["images"]}
    faults += [
        Fault(
            "image-size", file, f"width and height are {image['width']!r} and {image['height']!r}",
            f"image {image['id']}", "give both in pixels", image["id"],
        )
        for image in document["images"]
        if sizes[image["id"]] is None
    ]  # fmt: skip
    categories = {category["id"] for category in document["categories"]}
    annotations = document["annotations"]

    def report(
        indices: Iterable[int], rule: str, value: Callable[[dict], str], remedy: str, to=faults
    ) -> None:
        for i in indices:
            a = annotations[i]
            item = f"annotation {a['id']} of image {a['image_id']}"
            to.append(Fault(rule, file, value(a), item, remedy, a["image_id"]))

    strays = [i for i, a in enumerate(annotations) if a["image_id"] not in sizes]
    report(strays, "unknown-image", lambda a: f"image_id {a['image_id']} is not in 'images'", "remove it")
    unknown = [i for i, a in enumerate(annotations) if a["category_id"] not in categories]
    report(
        unknown, "unknown-category", lambda a: f"category_id {a['category_id']} is not in 'categories'",
        "correct it or add the category",
    )  # fmt: skip
    boxes, malformed = _boxes(annotations)  # (A, 4) x, y, width, height
    report(malformed, "box-format", lambda a: f"bbox is {a['bbox']!r}, not four numbers", "correct it")
    kept = np.setdiff1d(np.arange(len(annotations)), malformed + strays)
    unlimited = (np.inf, np.inf)
    limits = [sizes[annotations[i]["image_id"]] or unlimited for i in kept]  # (K, 2) width, height
    limits = np.array(limits, dtype=float).reshape(-1, 2)
    for rule, mask, remedy in _box_rules(boxes[kept], limits):
        to = notes if rule in NOTES else faults
        report(kept[mask].tolist(), rule, lambda a: f"bbox is {a['bbox']}", remedy, to)
    polygons = [i for i, a in enumerate(annotations) if _bad_segmentation(a.get("segmentation"))]
    report(polygons, "polygon-format", lambda a: f"segmentation is {_shortened(a['segmentation'])}",
           "a polygon is a list of at least three x, y pairs")  # fmt: skip
    return faults, notes


NOTES = ("box-empty", "box-exceeds")


def _box_rules(boxes: np.ndarray, limits: np.ndarray) -> list[tuple[str, np.ndarray, str]]:
    """Rule, mask over boxes (K, 4), remedy; limits (K, 2) are the images' width and height in pixels."""
    start, extent = boxes[:, :2], boxes[:, 2:]
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(boxes).all(1)
        negative = finite & (extent < 0).any(1)
        sound = finite & ~negative
        outside = sound & ((start >= limits) | (start + extent <= 0)).any(1) & (extent >= 1).all(1)
        empty = sound & ~outside & (extent < 1).any(1)
        exceeds = sound & ~outside & ~empty & ((start < -2) | (start + extent > limits + 2)).any(1)
    return [
        ("box-not-finite", ~finite, "correct or remove it"),
        ("box-negative", negative, "boxes are [x, y, width, height]; correct or remove it"),
        ("box-outside", outside, "the box lies outside the image; are its coordinates in pixels?"),
        ("box-empty", empty, "boxes under one pixel are left out of training"),
        ("box-exceeds", exceeds, "the box is clipped to the image; is it [x, y, width, height]?"),
    ]


def check_classes(
    document: dict[str, Any], file: str, classes: Sequence[str] | None
) -> tuple[list[Fault], list[Fault]]:
    """Do the class names of the config and the categories of the file agree, and in order?"""
    if classes is None:
        return [], []
    if isinstance(classes, str):
        value = f"classes is the string {classes!r}, not a list"
        return [Fault("class-list", file, value, remedy=f"write metainfo=dict(classes=({classes!r},))")], []
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
    size = (image["width"], image["height"])
    return size if all(isinstance(v, (int, float)) and v > 0 for v in size) else None


def _duplicates(entries: list[dict], kind: str, file: str) -> list[Fault]:
    seen: set = set()
    faults = []
    for entry in entries:
        if entry["id"] in seen:
            faults.append(
                Fault("duplicate-id", file, f"the id {entry['id']} occurs twice", f"{kind} {entry['id']}")
            )
        seen.add(entry["id"])
    return faults


def _boxes(annotations: list[dict]) -> tuple[np.ndarray, list[int]]:
    """Boxes as an array (A, 4), and the indices of those that are not four numbers."""
    try:
        return np.array([a["bbox"] for a in annotations], dtype=float).reshape(len(annotations), 4), []
    except (ValueError, TypeError):
        pass
    boxes, malformed = np.zeros((len(annotations), 4)), []
    for i, a in enumerate(annotations):
        try:
            boxes[i] = np.array(a["bbox"], dtype=float).reshape(4)
        except (ValueError, TypeError):
            malformed.append(i)
    return boxes, malformed


def _bad_segmentation(segmentation: Any) -> bool:
    if isinstance(segmentation, list):
        return any(not isinstance(p, list) or len(p) < 6 or len(p) % 2 for p in segmentation)
    if isinstance(segmentation, dict):
        return "counts" not in segmentation or "size" not in segmentation
    return segmentation is not None


def _first(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(map(str, names[:most]))
    return f"{shown}, ..." if len(names) > most else shown


def _shortened(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."

"""Images with a map of panoptic segments: the png files agree with their JSON file, and all are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dense3d.datasets.panoptic.agreement import disagreements
from dense3d.datasets.panoptic.files import PanopticFile, labels_of, read_panoptic
from dense3d.datasets.panoptic.id_map import palette_note, read_id_map, segment_areas
from dense3d.datasets.scan.coco_file import describe_absent
from dense3d.datasets.scan.images import check_image
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.datasets.scan.segmentation import UNREADABLE, spread
from dense3d.errors import DataError
from dense3d.image_files import Reader

_OF_MAPS = Reader("cv2", "unchanged")
REMEDY = "png and JSON file are of two versions: make both again, or load them with strict=False"


def scan_panoptic(
    annotation_file: str | Path,
    image_folder: str | Path,
    map_folder: str | Path,
    classes: Sequence[str] | None = None,
    aliases: dict[str, str] | None = None,
    image_file: Callable[[dict[str, Any]], str] = lambda image: image["file_name"],
    strict: bool = True,
    decode_images: bool = True,
    workers: int = 2,
    reader: Reader | None = None,
) -> ScanReport:
    """Check a panoptic JSON file, the png files of segment ids and the images, and report all faults at once.

    Args:
        annotation_file: JSON file in COCO's panoptic layout.
        image_folder, map_folder: folders of images and png files.
        classes: class names that the model is to learn.
        aliases: category name in the file -> class name.
        image_file: an image's file below ``image_folder``.
        strict: png files that disagree with ``segments_info`` are faults; otherwise notes.
        decode_images: decode every pixel; without it ids are compared with ``segments_info`` in 200 maps,
            spread over all.
        workers: threads.
        reader: how the images are loaded.

    Returns:
        The report; ``annotations`` counts segments. A file that cannot be read is a fault there.
    """
    report = ScanReport(str(annotation_file))
    try:
        panoptic = read_panoptic(annotation_file)
    except DataError as error:
        file, _, value = str(error).partition(": ")
        report.faults.append(Fault("annotation-file", file, value or str(error)))
        return report
    if classes is not None:
        try:
            labels_of(panoptic, classes, aliases)
        except DataError as error:
            report.faults.append(Fault("class-list", panoptic.path, str(error).partition(": ")[2]))
    for folder in (image_folder, map_folder):
        if not os.path.isdir(folder):  # noqa: PTH112 - for names that are too long
            value = describe_absent(Path(folder))
            remedy = "correct data_root or data_prefix"
            report.faults.append(Fault("folder-missing", str(folder), value, remedy=remedy))
    if any(fault.rule == "folder-missing" for fault in report.faults):
        report.missing = len(panoptic.images)
        return report

    images = list(panoptic.images.values())
    looked_at = set(range(len(images)) if decode_images else spread(list(range(len(images)))))

    def check(index: int) -> list[Fault]:
        picture = Path(image_folder) / image_file(images[index])
        look = index in looked_at
        return _check_image(panoptic, images[index], picture, Path(map_folder), decode_images, look, reader)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = list(pool.map(check, range(len(images))))
    _count(report, panoptic, found, strict)
    report.notes += _stuff_in_parts(panoptic)
    return report


def _stuff_in_parts(panoptic: PanopticFile) -> list[Fault]:
    """A note where an image has several segments of one stuff category, of which a prediction has one."""
    stuff = {number for number, category in panoptic.categories.items() if not category["isthing"]}
    images = [
        number
        for number, annotation in panoptic.annotations.items()
        if (kinds := [s["category_id"] for s in annotation["segments_info"] if s["category_id"] in stuff])
        and len(set(kinds)) < len(kinds)
    ]
    if not images:
        return []
    value = (
        f"{len(images)} images have several segments of one stuff category, first image {images[0]!r}; what "
        "is predicted of it is one segment, so that even perfect results stay below 1"
    )
    return [
        Fault("stuff-in-parts", panoptic.path, value, remedy="write the stuff of a category as one segment")
    ]


def _check_image(
    panoptic: PanopticFile,
    image: dict[str, Any],
    picture: Path,
    map_folder: Path,
    decode: bool,
    look: bool,
    reader: Reader | None,
) -> list[Fault]:
    number, item = image["id"], f"image {image['id']}"
    size = (image["width"], image["height"])
    annotation = panoptic.annotations.get(number)
    if annotation is None:
        value = "no entry of 'annotations' is for this image"
        remedy = "annotate it, with empty segments_info if nothing is to be seen, or remove it"
        return [Fault("not-annotated", panoptic.path, value, item, remedy, number)]
    png = map_folder / annotation["file_name"]
    checked = [check_image(picture, size, decode, reader), check_image(png, size, reader=_OF_MAPS)]
    faults = [Fault(f.rule, f.file, f.value, item, f.remedy, number) for f in checked if f is not None]
    if faults or not look:
        return faults
    try:
        areas = segment_areas(read_id_map(png))
    except DataError as error:
        return [Fault("id-map", str(png), str(error).partition(": ")[2], item, image=number)]
    return [
        Fault(rule, str(png), value, item, REMEDY + palette_note(png), number)
        for rule, value in disagreements(*areas, annotation["segments_info"])
    ]


def _count(report: ScanReport, panoptic: PanopticFile, found: list[list[Fault]], strict: bool) -> None:
    faults = [fault for faults in found for fault in faults]
    tolerated = () if strict else ("id-not-listed", "id-not-in-png", "area-differs")
    report.notes += [fault for fault in faults if fault.rule in tolerated]
    report.faults += [fault for fault in faults if fault.rule not in tolerated]
    report.missing = sum(fault.rule == "file-missing" for fault in faults)
    report.corrupt = sum(fault.rule in UNREADABLE or fault.rule == "id-map" for fault in faults)
    report.found = sum(all(fault.rule in tolerated for fault in one) for one in found)
    segments = [annotation["segments_info"] for annotation in panoptic.annotations.values()]
    report.annotations, report.empty = sum(map(len, segments)), sum(not one for one in segments)
    if not panoptic.images:
        report.faults.append(Fault("no-images", panoptic.path, "the list 'images' is empty"))

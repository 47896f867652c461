"""Images with label maps (ADE20K, Cityscapes, ...): pairs complete, of one size, labels in range."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from dense3d.datasets.scan.images import check_image
from dense3d.datasets.scan.report import Fault, ScanReport

UNREADABLE = ("zero-bytes", "not-an-image", "truncated")


def scan_segmentation(
    name: str,
    pairs: Sequence[tuple[str, str | None]],
    num_classes: int | None = None,
    reduce_zero_label: bool = False,
    ignore_index: int = 255,
    decode_images: bool = True,
    workers: int = 2,
) -> ScanReport:
    """Check images and their label maps.

    Args:
        name: what is scanned, for people.
        pairs: image file and label file; the latter may be None.
        num_classes: labels must lie below it; None leaves their range unchecked.
        reduce_zero_label: label 0 means unlabelled and the others count from 1, as in ADE20K.
        ignore_index: the label that is no class.
        decode_images: decode every pixel of images and labels; without it only headers, sizes and the
            ends of files are looked at, and labels stay unchecked.
        workers: threads.

    Returns:
        The report; ``annotations`` counts label maps.
    """
    report = ScanReport(name)
    last = (num_classes or 0) - 1 + reduce_zero_label

    def check(pair: tuple[str, str | None]) -> list[Fault]:
        image, labels = pair
        faults = [check_image(image, decode=decode_images)]
        if labels is not None:
            faults.append(check_image(labels, decode=decode_images))
            if not any(faults):
                allowed = {ignore_index, *range(last + 1)} if num_classes and decode_images else None
                faults.append(_check_labels(image, labels, allowed))
        return [fault for fault in faults if fault is not None]

    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = list(pool.map(check, pairs))
    report.faults = [fault for faults in found for fault in faults]
    report.missing = sum(fault.rule == "file-missing" for fault in report.faults)
    report.corrupt = sum(fault.rule in UNREADABLE for fault in report.faults)
    report.found = sum(not faults for faults in found)
    report.annotations = sum(labels is not None for _, labels in pairs)
    if not pairs:
        report.faults.append(
            Fault("no-images", name, "no image was found", remedy="correct data_root or data_prefix")
        )
    return report


def _check_labels(image: str, labels: str, allowed: set[int] | None) -> Fault | None:
    with Image.open(image) as picture, Image.open(labels) as label_map:
        if label_map.mode not in ("L", "P", "I", "I;16"):
            value = f"the label map has the mode {label_map.mode}, not one channel"
            return Fault(
                "label-format", labels, value, remedy="convert the colours to class numbers", image=image
            )
        if picture.size != label_map.size:
            value = f"{label_map.size} pixels, but its image {image} has {picture.size}"
            return Fault(
                "size-differs", labels, value, remedy="pair each image with its own label map", image=image
            )
        if allowed is None:
            return None
        seen = np.unique(np.asarray(label_map))
    stray = sorted(set(seen.tolist()) - allowed)
    if not stray:
        return None
    value = f"labels {', '.join(map(str, stray[:8]))} are no class"
    return Fault("label-range", labels, value, remedy="correct the class list or the labels", image=image)

"""Images with maps of labels (ADE20K, Cityscapes): complete pairs of one size, labels that are classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from dense3d.datasets.label_maps import CORRECT, LabelMapError, LabelRules, read_label_map
from dense3d.datasets.scan.coco_file import describe_absent
from dense3d.datasets.scan.images import measure_image
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.files import is_file, is_folder
from dense3d.image_files import IMAGE_SUFFIXES, Reader

UNREADABLE = ("zero-bytes", "not-an-image", "truncated")
LOOKED_AT = 200  # label maps that a quick scan reads, spread evenly over all
LARGE_SHARE = 0.5  # of pixels that no class is known of
_OF_MAPS = Reader("pillow", "unchanged")


def scan_segmentation(
    name: str,
    pairs: Sequence[tuple[str, str | None]],
    num_classes: int | None = None,
    reduce_zero_label: bool = False,
    ignore_index: int = 255,
    decode_images: bool = True,
    workers: int = 2,
    rules: LabelRules | None = None,
    reader: Reader | None = None,
    void_is_meant: bool = False,
) -> ScanReport:
    """Check images and their label maps.

    Args:
        name: what is scanned, for people.
        pairs: image file and label file; the latter may be None.
        num_classes: labels must lie below it; None leaves their range unchecked.
        reduce_zero_label: label 0 means unlabelled and the others count from 1, as in ADE20K.
        ignore_index: the label that is no class.
        decode_images: decode every pixel of images and labels; without it, of images only headers, sizes and
            the ends of files are looked at, and the labels of 200 maps, spread over all.
        workers: threads.
        rules: what the numbers in the maps mean, in place of ``num_classes`` and the two after it.
        reader: how the images are loaded.
        void_is_meant: whether the config says that the ignored label is none of a mask of 0 and 255.

    Returns:
        The report; ``annotations`` counts label maps. Classes that never occur, and large shares of pixels
        that are ignored, are notes.
    """
    report = ScanReport(name)
    rules = rules or _rules(num_classes, reduce_zero_label, ignore_index)
    maps = [index for index, (_, labels) in enumerate(pairs) if labels is not None]
    looked_at = set(maps if decode_images else spread(maps))

    def check(index: int) -> tuple[list[Fault], dict[int, int] | None]:
        return _check_pair(*pairs[index], rules, reader, decode_images, index in looked_at)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = list(pool.map(check, range(len(pairs))))
    report.faults = [fault for faults, _ in found for fault in faults]
    report.missing = sum(fault.rule == "file-missing" for fault in report.faults)
    report.corrupt = sum(fault.rule in UNREADABLE for fault in report.faults)
    report.found = sum(not faults for faults, _ in found)
    report.annotations = len(maps)
    if not pairs:
        remedy = "correct data_root or data_prefix"
        report.faults.append(Fault("no-images", name, "no image was found", remedy=remedy))
    counted = [count for _, count in found if count is not None]
    if counted and rules.classes:
        total = Counter()
        for count in counted:
            total.update(count)
        occurrence = Occurrence(name, dict(sorted(total.items())), rules, len(counted), len(maps))
        report.notes += occurrence.notes()
        report.notes += _masks_among_labels(name, counted, rules)
        report.faults += [] if report.faults or void_is_meant else occurrence.faults()
    return report


def _rules(num_classes: int | None, reduce_zero: bool, ignore_index: int) -> LabelRules:
    classes = [str(number) for number in range(num_classes)] if num_classes else None
    return LabelRules(classes, ignore_index, reduce_zero=reduce_zero)


def _masks_among_labels(name: str, counted: list[dict[int, int]], rules: LabelRules) -> list[Fault]:
    """A note where maps of 0 and 255, as masks are drawn, stand among maps in which 1 is the second class."""
    masks = sum(list(counts) == [0, 255] for counts in counted)
    void = rules.table[255] == rules.void
    if len(rules.classes) != 2 or not void or not masks or not any(1 in counts for counts in counted):
        return []
    value = f"{masks} of {len(counted)} label maps hold 0 and 255 only, others have {rules.classes[1]!r} (1)"
    remedy = "if 255 is that class there, write it as 1: 255 is ignored"
    return [Fault("labels-mask", name, value, remedy=remedy)]


def spread(indices: list[int], most: int = LOOKED_AT) -> list[int]:
    """``most`` of ``indices``, evenly spread, or all of them.

    Example:
        >>> spread([1, 2, 3, 4, 5], 3)
        [1, 3, 5]
    """
    if len(indices) <= most:
        return indices
    return [indices[i] for i in np.linspace(0, len(indices) - 1, most).round().astype(int)]


def _check_pair(
    image: str, labels: str | None, rules: LabelRules, reader: Reader | None, decode: bool, look: bool
) -> tuple[list[Fault], dict[int, int] | None]:
    """Faults of an image and its map, and how often each number occurs in the map, if it was read."""
    fault, size = measure_image(image, decode, reader)
    faults = [with_hint(fault, "img_suffix")]
    if labels is None:
        return [fault for fault in faults if fault is not None], None
    numbers = None
    if look and is_file(labels) and Path(labels).stat().st_size:
        try:
            numbers = read_label_map(Path(labels).read_bytes(), labels)
            fault, seen = None, numbers.shape[::-1]
        except LabelMapError as error:
            fault, seen = Fault(error.rule, labels, error.value, "", error.remedy, image), None
    else:
        fault, seen = measure_image(labels, reader=_OF_MAPS)
    faults.append(with_hint(fault, "seg_map_suffix"))
    faults = [fault for fault in faults if fault is not None]
    if not faults and seen != size:
        value = f"{seen[0]} x {seen[1]} pixels, but its image {image} has {size[0]} x {size[1]}"
        faults = [Fault("size-differs", labels, value, "", "pair each image with its own label map", image)]
    if faults or numbers is None:
        return faults, None
    counts = np.bincount(numbers.ravel())
    present = np.flatnonzero(counts)
    stray = present[rules.table[present] < 0]
    if len(stray):
        return [Fault("label-range", labels, rules.why_stray(stray), "", CORRECT, image)], None
    return [], dict(zip(present.tolist(), counts[present].tolist()))


def with_hint(fault: Fault | None, option: str) -> Fault | None:
    """A missing file's fault, which says if the file is there with another suffix."""
    if fault is None or fault.rule != "file-missing":
        return fault
    path = Path(fault.file)
    there = (
        sorted(p.name for p in path.parent.glob(f"{_escaped(path.stem)}.*")) if is_folder(path.parent) else []
    )
    if not there:
        return fault
    value = f"{fault.value}, but {there[0]} does"
    remedy = f"set {option}={Path(there[0]).suffix!r} of the data set"
    return Fault(fault.rule, fault.file, value, fault.item, remedy, fault.image)


def why_no_file(folder: str | Path, suffix: str) -> str:
    """A clause on a folder in which no file, at any depth, ends with ``suffix``: what there is instead."""
    folder = Path(folder)
    if not is_folder(folder):
        return f"{folder}: {describe_absent(folder)}"
    files = islice((path for path in folder.rglob("*") if path.is_file()), 10_000)
    suffixes = Counter(path.suffix for path in files)
    if not suffixes:
        return f"{folder}: the folder is empty; correct data_root or data_prefix"
    images = [found for found, _ in suffixes.most_common() if found.lower() in IMAGE_SUFFIXES]
    there = ", ".join(f"{count} with {found or 'no suffix'}" for found, count in suffixes.most_common(3))
    remedy = f"set img_suffix={images[0]!r} of the data set" if images else "correct data_root or data_prefix"
    return f"{folder}: no file ends with {suffix!r} (img_suffix), but there are {there}; {remedy}"


def _escaped(stem: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)


@dataclass(frozen=True)
class Occurrence:
    """Which classes occur in a data set's maps, and what share of the pixels is ignored.

    Args:
        name: of the data set.
        counts: pixels of each number that occurs.
        rules: what the numbers mean; with classes.
        looked_at, maps: how many maps were read, of how many.
    """

    name: str
    counts: dict[int, int]
    rules: LabelRules
    looked_at: int
    maps: int

    @property
    def absent(self) -> list[str]:
        """Classes of which no pixel was seen."""
        labels = set(self.rules.table[list(self.counts)].tolist()) - {self.rules.void}
        return [str(name) for label, name in enumerate(self.rules.classes) if label not in labels]

    @property
    def ignored(self) -> dict[int, int]:
        """Pixels of each number in the files that is ignored."""
        void = {self.rules.void, *self.rules.ignored}
        return {number: count for number, count in self.counts.items() if self.rules.table[number] in void}

    def faults(self) -> list[Fault]:
        """What training cannot use at all."""
        classes, present = list(self.rules.classes), list(self.counts)
        if len(self.absent) == len(classes):
            value = f"no pixel is of a class: {self.what()} of {self.seen()} are ignored"
            return [Fault("labels-ignored", self.name, value, remedy=CORRECT)]
        if len(classes) == 2 and present == [0, 255] and self.rules.table[255] == self.rules.void:
            value = f"the label maps hold 0 and 255 only; 255 is ignored, and no pixel is of {classes[1]!r}"
            remedy = "write 0 and 1, or set ignore_index=255 of the data set if 255 does mean unlabelled"
            return [Fault("labels-mask", self.name, value, remedy=remedy)]
        return []

    def notes(self) -> list[Fault]:
        """Classes that never occur, and a large share of ignored pixels."""
        notes = []
        if self.absent and self.looked_at == self.maps:
            few = ", ".join(self.absent[:8]) + (", ..." if self.absent[8:] else "")
            value = f"{len(self.absent)} of {len(self.rules.classes)} classes occur in no label map: {few}"
            notes.append(Fault("class-absent", self.name, value))
        share = sum(self.ignored.values()) / max(1, sum(self.counts.values()))
        if share > LARGE_SHARE:
            value = f"{self.what()} of {self.seen()} are ignored"
            notes.append(Fault("labels-ignored", self.name, value))
        if len(self.rules.classes) == 1 and list(self.counts) == [0, 255] and 255 in self.ignored:
            value = f"all is {self.rules.classes[0]!r} (0) or ignored (255): there is nothing to tell apart"
            remedy = "if 0 is background, name it as a class and write 0 and 1"
            notes.append(Fault("labels-mask", self.name, value, remedy=remedy))
        if len(self.rules.classes) > self.rules.void:
            name, void = self.rules.classes[self.rules.void], self.rules.void
            value = (
                f"the label {void} is the class {name!r} and that of ignored pixels: the class is not learned"
            )
            remedy = "set ignore_index of data set, head and metric, and seg_pad_val, beyond the classes"
            notes.append(Fault("class-ignored", self.name, value, remedy=remedy))
        return notes

    def what(self) -> str:
        """The share that is ignored, and the numbers that stand for it."""
        numbers, total = self.ignored, max(1, sum(self.counts.values()))
        return f"{sum(numbers.values()) / total:.0%} (labels {', '.join(map(str, numbers))} in the files)"

    def seen(self) -> str:
        """Which pixels were counted."""
        return (
            f"the pixels of {self.looked_at}"
            + (f" of {self.maps}" if self.looked_at < self.maps else "")
            + " maps"
        )

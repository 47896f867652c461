"""The rules on the contents of a COCO instances file, and what is filled in where its meaning is certain.

Labelling tools leave fields out and number from 0; mmdet's loader and pycocotools then drop or mistake
objects without a word. Here a document gets the fields that both of them read, or a fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dense3d.datasets.scan.coco_masks import REMEDIES, mask_areas, mask_box, tidy_masks, wrong_masks
from dense3d.datasets.scan.report import Fault
from dense3d.datasets.scan.schema import shortened

# What OpenCV decodes, with which images are loaded; pycocotools' run lengths have 32 bits.
LONGEST_SIDE, MOST_PIXELS = 2**20, 2**30
# Pixels. Predictions are float32: below this a box has no width that they could meet.
SMALLEST_EXTENT = 0.01
# A box may reach this many image sizes beyond the image, as that of a truncated object does.
REACH = 10
EXAMPLES = 3
Ids = Iterable[int]


@dataclass
class Findings:
    """Faults and notes on one file.

    Attributes:
        file: the file.
        faults: what pycocotools or the loader would stumble over.
        notes: what is unusual but is dealt with.
        boxes: number of all boxes by category id.
        lost: for each reason, the number of boxes that are not learned for it, by category id.
    """

    file: str
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    boxes: Counter[int] = field(default_factory=Counter)
    lost: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def fault(self, rule: str, value: str, item: str = "", remedy: str = "", image: Any = None) -> None:
        self.faults.append(Fault(rule, self.file, value, item, remedy, image))

    def note(self, rule: str, value: str, remedy: str = "") -> None:
        self.notes.append(Fault(rule, self.file, value, remedy=remedy))


def check_images(images: list[dict[str, Any]], found: Findings) -> dict[Any, tuple[int, int] | None]:
    """Check the images and write their sizes as int.

    Returns:
        Width and height in pixels by id, None where the file does not state them.
    """
    _refuse_duplicates(images, "image", found)
    if len({isinstance(image["id"], str) for image in images}) > 1:
        found.fault("image-ids", "ids of images are partly text, partly numbers", remedy="write them alike")
    sizes = {}
    for image in images:
        width, height = (_side(image.get(key)) for key in ("width", "height"))
        item, number = f"image {shortened(image['id'])}", image["id"]
        sizes[number] = None
        if width is None or height is None or width * height > MOST_PIXELS:
            value = (
                f"width and height are {shortened(image.get('width'))} and {shortened(image.get('height'))}"
            )
            found.fault("image-size", value, item, "give both in pixels", number)
        else:
            sizes[number] = image["width"], image["height"] = width, height
        if not is_file_name(image["file_name"]):
            value = f"file_name is {shortened(image['file_name'])}"
            found.fault("file-name", value, item, "name the file", number)
    often = [name for name, times in Counter(i["file_name"] for i in images).items() if times > 1]
    if often:
        value = f"{len(often)} files are named by several images: {_first(often)}"
        found.note("same-file", value, "objects of one entry are background in the other")
    return sizes


def is_file_name(name: str) -> bool:
    """Whether a file system could have a file of this name."""
    try:
        longest = max(len(part.encode()) for part in name.split("/"))
    except UnicodeEncodeError:
        return False
    return bool(name.strip()) and "\0" not in name and longest < 256 and len(name) < 2000


def _side(value: Any) -> int | None:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if whole and 0 < value <= LONGEST_SIDE else None


def check_categories(document: dict[str, Any], found: Findings) -> set[int]:
    """Check the categories; of two with one name, one without objects is left out. Returns their ids."""
    categories, merged = document["categories"], {}
    for category in categories:
        same = merged.setdefault(category["id"], category)
        if same["name"] != category["name"]:
            value = f"the id {category['id']} is that of {same['name']!r} and of {category['name']!r}"
            found.fault("duplicate-id", value, f"category {category['id']}", "give each its own id")
    names = Counter(category["name"] for category in merged.values())
    for name in (name for name, times in names.items() if times > 1):
        ids = [number for number, category in merged.items() if category["name"] == name]
        used = {a["category_id"] for a in document["annotations"]}.intersection(ids)
        if len(used) > 1:
            value = f"the name {name!r} is that of the ids {', '.join(map(str, ids))}, which all have objects"
            found.fault("duplicate-name", value, remedy="give each its own name, or all objects one id")
            continue
        kept = used.pop() if used else ids[-1]
        for number in (number for number in ids if number != kept):
            del merged[number]
        found.note("duplicate-name", f"of {len(ids)} categories named {name!r} only {kept} has objects")
    document["categories"] = list(merged.values())
    return set(merged)


def check_annotations(
    document: dict[str, Any],
    sizes: dict[Any, tuple[int, int] | None],
    categories: set[int],
    masks: bool,
    found: Findings,
) -> None:
    """Check the annotations, fill in what is certain, and leave out those of no extent."""
    annotations = document["annotations"]
    tidy_masks(annotations)

    def report(indices: Ids, rule: str, value: Callable[[dict], str], remedy: str, to=found.faults) -> None:
        for i in indices:
            a = annotations[i]
            item = f"annotation {shortened(a.get('id', i))} of image {shortened(a['image_id'])}"
            to.append(Fault(rule, found.file, value(a), item, remedy, a["image_id"]))

    _refuse_duplicates([a for a in annotations if a.get("id") is not None], "annotation", found)
    strays = [i for i, a in enumerate(annotations) if a["image_id"] not in sizes]
    value = lambda a: f"image_id {shortened(a['image_id'])} is not in 'images'"  # noqa: E731
    number = isinstance(next(iter(sizes), ""), (int, float))
    other = [i for i in strays if isinstance(annotations[i]["image_id"], str) == number]
    report(other, "unknown-image", lambda a: f"{value(a)}, whose ids are {'numbers' if number else 'text'}",
           "write both alike, as numbers or as text")  # fmt: skip
    report(sorted({*strays} - {*other}), "unknown-image", value, "remove it")
    unknown = [i for i, a in enumerate(annotations) if a["category_id"] not in categories]
    value = lambda a: f"category_id {a['category_id']} is not in 'categories'"  # noqa: E731
    report(unknown, "unknown-category", value, "correct it or add the category")
    limits = [sizes.get(a["image_id"]) or (np.inf, np.inf) for a in annotations]
    limits = np.array(limits, dtype=float).reshape(-1, 2)  # (A, 2) width, height
    bad_masks = list(wrong_masks(annotations, limits))
    for index, rule, text in bad_masks:
        report([index], rule, lambda a, text=text: text, REMEDIES[rule])
    broken = {index for index, _, _ in bad_masks}
    if masks:
        absent = [i for i, a in enumerate(annotations) if not a["segmentation"]]
        report(absent, "mask-missing", lambda a: "it has no mask, but masks are to be learned or evaluated",
               "draw one, remove the object, or use boxes alone: LoadAnnotations with_mask=False and a model "
               "without masks")  # fmt: skip
    _fill_boxes(annotations, broken, found)
    boxes, malformed = _boxes(annotations)  # (A, 4) x, y, width, height
    value = lambda a: f"bbox is {shortened(a.get('bbox'))}, not four numbers"  # noqa: E731
    report(malformed, "box-format", value, "correct it")
    kept, small = np.setdiff1d(np.arange(len(annotations)), malformed + strays), []
    for rule, mask, remedy in _box_rules(boxes[kept], limits[kept]):
        to = found.notes if rule in NOTES else found.faults
        report(kept[mask].tolist(), rule, lambda a: f"bbox is {shortened(a['bbox'], 100)}", remedy, to)
        small += kept[mask].tolist() if rule == "box-empty" else []
    found.boxes.update(a["category_id"] for a in annotations)
    _fill_rest(annotations, boxes, broken, found)
    with np.errstate(invalid="ignore"):
        empty = {*kept[(boxes[kept, 2:] < SMALLEST_EXTENT).any(1)].tolist()}
    flat = _without_pixels(annotations, limits, broken, found) if masks else set()
    empty |= flat
    crowds = [i for i, a in enumerate(annotations) if a["iscrowd"]]
    _count_lost({"smaller than one pixel": small, "without a pixel in their mask": flat, "crowds": crowds},
                annotations, found)  # fmt: skip
    if empty:
        document["annotations"] = [a for i, a in enumerate(annotations) if i not in empty]
    _number(document["annotations"])


def _count_lost(reasons: dict[str, Ids], annotations: list[dict], found: Findings) -> None:
    """Count what is not learned, each object for its first reason."""
    seen: set[int] = set()
    for reason, indices in reasons.items():
        found.lost[reason].update(annotations[i]["category_id"] for i in set(indices) - seen)
        seen.update(indices)


NOTES = ("box-empty", "box-exceeds")


def _box_rules(boxes: np.ndarray, limits: np.ndarray) -> list[tuple[str, np.ndarray, str]]:
    """Rule, mask over boxes (K, 4), remedy; limits (K, 2) are the images' width and height in pixels."""
    start, extent = boxes[:, :2], boxes[:, 2:]
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(boxes).all(1)
        negative = finite & (extent < 0).any(1)
        sound = finite & ~negative
        beyond = ((start >= limits) | (start + extent <= 0)).any(1) & (extent >= 1).all(1)
        far = ((start < -REACH * limits) | (start + extent > (REACH + 1) * limits)).any(1)
        outside = sound & (beyond | far)
        empty = sound & ~outside & (extent < 1).any(1)
        exceeds = sound & ~outside & ~empty & ((start < -2) | (start + extent > limits + 2)).any(1)
    return [
        ("box-not-finite", ~finite, "correct or remove it"),
        ("box-negative", negative, "boxes are [x, y, width, height]; correct or remove it"),
        ("box-outside", outside, "the box lies outside the image; are its coordinates in pixels?"),
        ("box-empty", empty, "boxes under one pixel are left out of training"),
        ("box-exceeds", exceeds, "the box is clipped to the image; is it [x, y, width, height]?"),
    ]


def _boxes(annotations: list[dict]) -> tuple[np.ndarray, list[int]]:
    """Boxes as an array (A, 4), and the indices of those that are not four numbers."""
    malformed = [i for i, a in enumerate(annotations) if len(a.get("bbox") or ()) != 4]
    boxes = [a["bbox"] if len(a.get("bbox") or ()) == 4 else (0.0,) * 4 for a in annotations]
    return np.array(boxes, dtype=float).reshape(-1, 4), malformed


def _fill_boxes(annotations: list[dict], broken: set[int], found: Findings) -> None:
    """Compute boxes that are absent from masks."""
    computed = []
    for i, a in enumerate(annotations):
        if not a.get("bbox") and a["segmentation"] and i not in broken:
            a["bbox"] = mask_box(a["segmentation"])
            computed.append(a)
    _count("box-computed", computed, "have no bbox: it is computed from the mask", found)


def _fill_rest(annotations: list[dict], boxes: np.ndarray, broken: set[int], found: Findings) -> None:
    """Fill in ``iscrowd`` and ``area``; what is to be ignored becomes a crowd, which pycocotools ignores."""
    computed, ignored = [], []
    for i, a in enumerate(annotations):
        if a.pop("ignore", None) and not a.get("iscrowd"):
            a["iscrowd"] = 1
            ignored.append(a)
        crowd = a.get("iscrowd")
        if type(crowd) is not int:  # absent, null, false or 1.0
            a["iscrowd"] = int(crowd or 0)
        area = a.get("area")
        if not isinstance(area, (int, float)) or isinstance(area, bool) or not 0 < area < 1e300:
            computed.append(i)
    _tell_of_other_areas(annotations, boxes, {*computed, *broken}, found)
    areas = mask_areas([[] if i in broken else annotations[i]["segmentation"] for i in computed])
    for i, area in zip(computed, areas.tolist()):
        annotations[i]["area"] = area if area > 0 else float(boxes[i, 2] * boxes[i, 3])
    computed = [annotations[i] for i in computed]
    _count("area-computed", computed, "have no positive area: it is computed", found)
    _count("ignored-as-crowd", ignored, "have ignore=1: neither learned nor counted, as a crowd", found)


def _tell_of_other_areas(
    annotations: list[dict], boxes: np.ndarray, computed: set[int], found: Findings
) -> None:
    """Areas in other units than pixels, which would count small objects as large or the other way round."""
    other = []
    for i, (width, height) in enumerate(boxes[:, 2:].tolist()):
        if i not in computed and width >= 2 and height >= 2:
            area = annotations[i]["area"]
            if area < 1 or area > 2 * width * height:
                other.append(annotations[i])
    if len(other) * 2 > len(annotations):
        what = "have an area under a pixel or twice that of their box, which AP by size goes by"
        _count("area-differs", other, what, found)


def _without_pixels(
    annotations: list[dict], limits: np.ndarray, broken: set[int], found: Findings
) -> set[int]:
    """Objects whose mask covers no pixel: nothing that is predicted could meet it."""
    from pycocotools import mask as mask_tools

    known = np.isfinite(limits).all(1)
    masks = [[] if i in broken or not known[i] else a["segmentation"] for i, a in enumerate(annotations)]
    areas = mask_areas(masks)
    for i in np.flatnonzero(areas < 2):  # COCO counts area between vertices, not pixels
        if isinstance(masks[i], list) and masks[i]:
            width, height = map(int, limits[i])
            areas[i] = mask_tools.area(mask_tools.merge(mask_tools.frPyObjects(masks[i], height, width)))
    indices = [i for i in np.flatnonzero(areas == 0).tolist() if masks[i]]
    _count("mask-empty", [annotations[i] for i in indices], "have a mask without pixels: left out", found)
    return set(indices)


def _number(annotations: list[dict]) -> None:
    """Number from 1 where ids are not positive integers: pycocotools takes 0 for "not matched"."""
    if all(type(a.get("id")) is int and 0 < a["id"] < 2**53 for a in annotations):
        return
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number


def _count(rule: str, annotations: list[dict], what: str, found: Findings) -> None:
    if annotations:
        shown = ", ".join(shortened(a.get("id")) for a in annotations[:EXAMPLES])
        more = ", ..." if len(annotations) > EXAMPLES else ""
        found.note(rule, f"{len(annotations)} annotations {what} (ids {shown}{more})")


def _refuse_duplicates(entries: list[dict], kind: str, found: Findings) -> None:
    seen: set = set()
    for entry in entries:
        number = entry["id"]
        if number in seen:
            value, item = f"the id {number!r} occurs twice", f"{kind} {shortened(number)}"
            found.fault("duplicate-id", value, item, f"give each {kind} its own id")
        seen.add(number)


def _first(names: list[str], most: int = EXAMPLES) -> str:
    return ", ".join(map(shortened, names[:most])) + (", ..." if len(names) > most else "")

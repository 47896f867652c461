"""The fields of COCO's instances format that dense3d reads, with the types that labelling tools write."""

from __future__ import annotations

from typing import Any

import msgspec

from dense3d.datasets.scan.report import Fault
from dense3d.datasets.scan.schema import mismatches, shortened

# The index of pycocotools and NumPy hold 64 bits.
LARGEST_ID = 2**63 - 1

Number = int | float
Id = int | float | str


class Image(msgspec.Struct, gc=False):
    """An entry of ``images``; ids may be text, sizes may be written as 640.0."""

    id: Id
    file_name: str
    height: Number | None = None
    width: Number | None = None


class Category(msgspec.Struct, gc=False):
    """An entry of ``categories``."""

    id: Number
    name: str


class RunLengths(msgspec.Struct, gc=False):
    """A mask as run lengths: numbers, or pycocotools' compressed text; ``size`` is height and width."""

    counts: list[Number] | str
    size: list[Number]


class Annotation(msgspec.Struct, gc=False):
    """An entry of ``annotations``; what may be absent has a certain meaning without it."""

    image_id: Id
    category_id: Number
    id: Id | None = None
    bbox: list[float] | None = None
    area: float | list | None = None  # VIA writes [] where there is none
    iscrowd: Number | bool | None = None
    ignore: Number | bool | None = None
    # A list of polygons, or the numbers of a single one.
    segmentation: list[list[float] | float] | RunLengths | None = None


KINDS: dict[str, type] = {"images": Image, "categories": Category, "annotations": Annotation}
WHOLE = {"images": ("id",), "categories": ("id",), "annotations": ("id", "image_id", "category_id")}
SWITCHES = ("iscrowd", "ignore")


def take_sound(document: dict[str, Any], name: str, file: str) -> list[Fault]:
    """Leave the entries of a list in a document whose fields have the right types, with whole ids as int.

    Args:
        document: the file's contents; the list is replaced.
        name: ``"images"``, ``"categories"`` or ``"annotations"``.
        file: for the faults.

    Returns:
        A fault for each entry that was taken out, with the id of the image if it is known.
    """
    entries = document[name]
    wrong = dict(mismatches(entries, KINDS[name]))
    if wrong or not _all_whole(entries, WHOLE[name]):
        for index, entry in enumerate(entries):
            if index not in wrong and (sentence := _not_whole(entry, WHOLE[name])):
                wrong[index] = sentence
    if not wrong:
        return []
    document[name] = [entry for index, entry in enumerate(entries) if index not in wrong]
    return [_fault(name, index, entries[index], wrong[index], file) for index in sorted(wrong)]


def _all_whole(entries: list[dict[str, Any]], keys: tuple[str, ...]) -> bool:
    """Whether all ids are int of 64 bits and switches 0 or 1, as almost always; at little cost."""
    for key in keys:
        values = [entry.get(key) for entry in entries]
        if {*map(type, values)} - {int} or (values and max(max(values), -min(values)) > LARGEST_ID):
            return False
    return all({entry.get(key) for entry in entries} <= {0, 1, None} for key in SWITCHES)


def _not_whole(entry: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """Turn ids such as 3.0 into 3 in place; a sentence on one that is no whole number of 64 bits."""
    for key in keys:
        value = entry.get(key)
        if isinstance(value, float) and value.is_integer():
            value = entry[key] = int(value)
        if isinstance(value, float) or (isinstance(value, int) and abs(value) > LARGEST_ID):
            return f"{key} is {shortened(value)}, not a whole number of at most 64 bits"
    if "iscrowd" in entry or "ignore" in entry:
        for key in SWITCHES:
            if entry.get(key) not in (0, 1, None):
                return f"{key} is {shortened(entry[key])}, neither 0 nor 1"
    return None


def _fault(name: str, index: int, entry: Any, sentence: str, file: str) -> Fault:
    number = entry.get("id") if isinstance(entry, dict) else None
    known = isinstance(number, (int, str)) and not isinstance(number, bool)
    item = f"{name}[{index}]" + (f" (id {shortened(number)})" if known else "")
    image = None
    if isinstance(entry, dict) and name != "categories":
        image = entry.get("id" if name == "images" else "image_id")
        image = image if isinstance(image, (int, str)) and not isinstance(image, bool) else None
    return Fault("format", file, sentence, item, "correct it", image)

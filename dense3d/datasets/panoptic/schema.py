"""The fields of COCO's panoptic format that dense3d reads, with their types."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

from dense3d.datasets.panoptic.id_map import MAX_ID, VOID
from dense3d.datasets.scan.schema import mismatches, shortened
from dense3d.errors import DataError
from dense3d.files import CONTROL

LARGEST_SIDE = 1 << 20  # pixels; more fit into no memory
LARGEST_ID = (1 << 63) - 1
LONGEST_NAME = 255  # characters of a file or folder
Number = int | float
Id = int | str


class Image(msgspec.Struct):
    """An entry of ``images``; sizes may be written as 640.0."""

    id: Id
    file_name: str
    height: Number
    width: Number


class Category(msgspec.Struct):
    """An entry of ``categories``."""

    id: int
    name: str
    isthing: int | bool


class Segment(msgspec.Struct):
    """An entry of ``segments_info``; who needs ``area`` and ``bbox``, which predictions lack, checks them."""

    id: int
    category_id: int
    iscrowd: int | bool | None = None


class Annotation(msgspec.Struct):
    """An entry of ``annotations``: the segments of an image."""

    image_id: Id
    file_name: str
    segments_info: list[Any]


GROUND_TRUTH: dict[str, type] = {"images": Image, "annotations": Annotation, "categories": Category}
PREDICTIONS: dict[str, type] = {"annotations": Annotation}


def check_document(document: Any, path: str, kinds: dict[str, type]) -> dict[str, Any]:
    """A document whose lists hold entries of the right types; ids such as 3.0 become 3 in place.

    Args:
        document: as a JSON reader gives it.
        path: for messages.
        kinds: the lists that are needed, and the type of their entries.

    Raises:
        DataError: names the file, the list, the entry and the field.
    """
    lists = ", ".join(kinds)
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected a JSON object with {lists}, found a {type(document).__name__}")
    for name, kind in kinds.items():
        entries = document.get(name)
        if not isinstance(entries, list):
            seen = ", ".join(str(key)[:40] for key in sorted(document)[:20]) or "nothing"
            raise DataError(
                f"{path}: not in COCO's panoptic format: no list {name!r}; "
                f"expected {lists}, found the keys {seen}"
            )
        _make_whole(entries)
        if wrong := mismatches(entries, kind):
            index, sentence = wrong[0]
            raise DataError(_told(path, name, index, entries[index], sentence, kind))
        for index, entry in enumerate(entries):
            if fault := _fault(entry, kind):
                raise DataError(f"{path}: {name}[{index}]: {fault}")
    return document


def segments_fault(segments: list[Any], categories: dict[int, Any] | None) -> str:
    """What is wrong with the segments of one image as the JSON lists them, or ``""``."""
    _make_whole(segments)
    if wrong := mismatches(segments, Segment):
        index, sentence = wrong[0]
        entry = segments[index]
        absent = [k for k in ("id", "category_id") if not isinstance(entry, dict) or k not in entry]
        if absent:
            return f"a segment has no {absent[0]!r}: {shortened(entry, 80)}"
        number = f" (id {shortened(entry['id'])})"
        return f"segments_info[{index}]{number}: {sentence}; correct it"
    seen: set[int] = set()
    for segment in segments:
        if fault := _segment_fault(segment, seen, categories):
            return fault
        seen.add(segment["id"])
    return ""


def _segment_fault(segment: dict[str, Any], seen: set[int], categories: dict[int, Any] | None) -> str:
    number, category = segment["id"], segment["category_id"]
    if not VOID < number <= MAX_ID:
        value = shortened(number)
        return f"the segment id {value} is not in 1 .. {MAX_ID} (0 is void); renumber the segments"
    if number in seen:
        return f"segment {number} is listed twice in segments_info; remove one"
    if categories is not None and category not in categories:
        return f"segment {number} has category_id {shortened(category)}, which is not in 'categories'"
    if segment.get("iscrowd") is None:
        segment.pop("iscrowd", None)
    elif segment["iscrowd"] not in (0, 1):
        value = shortened(segment["iscrowd"])
        return f"segment {number} has iscrowd {value}; write 1 for regions of many, else 0"
    return ""


def _make_whole(entries: list[Any]) -> None:
    """Ids written as 3.0 are 3."""
    for entry in entries:
        for key in ("id", "image_id", "category_id", "isthing", "iscrowd") if isinstance(entry, dict) else ():
            value = entry.get(key)
            if isinstance(value, float) and value.is_integer():
                entry[key] = int(value)


def _fault(entry: dict[str, Any], kind: type) -> str:
    """What is wrong with an entry whose fields have the right types."""
    if "file_name" in kind.__struct_fields__ and not _names_a_file(entry["file_name"]):
        return f"file_name is {shortened(entry['file_name'])}, which names no file; correct it"
    if kind is Category and abs(entry["id"]) > LARGEST_ID:
        return f"id is {shortened(entry['id'])}, which has more than 64 bits; number the categories anew"
    if kind is Category and entry["isthing"] not in (0, 1):
        return (
            f"the category {shortened(entry['name'])} has isthing {shortened(entry['isthing'])}; "
            "write 1 for things and 0 for stuff"
        )
    for side in ("height", "width") if kind is Image else ():
        value = entry[side]
        if not 0 < value <= LARGEST_SIDE or value != int(value):
            return f"{side} is {shortened(value)}, not a whole number of pixels; correct it"
        entry[side] = int(value)
    return ""


def _names_a_file(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    parts = name.split("/")
    return bool(name.strip()) and not CONTROL.search(name) and max(map(len, parts)) <= LONGEST_NAME


def _told(path: str, name: str, index: int, entry: Any, sentence: str, kind: type) -> str:
    fields = [
        field for field in kind.__struct_fields__ if field not in (entry if isinstance(entry, dict) else ())
    ]
    if kind is Category and isinstance(entry, dict) and "isthing" not in entry:
        label = entry.get("name", entry.get("id", index))
        return f"{path}: the category {shortened(label)} has no 'isthing'; write 1 for things and 0 for stuff"
    if kind is Category and "isthing is" in sentence:
        label = shortened(entry.get("name", index))
        return (
            f"{path}: the category {label} has isthing {shortened(entry['isthing'])}; "
            "write 1 for things and 0 for stuff"
        )
    if kind is Annotation and "segments_info is" in sentence:
        found = type(entry["segments_info"]).__name__
        return f"{path}: {name}[{index}]: segments_info is a {found}, not a list; correct it"
    if "segments_info" in fields and isinstance(entry, dict) and "bbox" in entry:
        return (
            f"{path}: annotations of single instances, not of panoptic maps ({name}[{index}] has a bbox but "
            "no segments_info); use the panoptic file"
        )
    item = f"{name}[{index}]" + (
        f" (id {shortened(entry['id'])})" if isinstance(entry, dict) and "id" in entry else ""
    )
    return f"{path}: not in COCO's panoptic format: {item}: {sentence}; correct it"


def refuse_twins(path: str, entries: list[dict], key: str, name: str) -> None:
    """Stop if two entries have one id.

    Raises:
        DataError: they have.
    """
    seen: set[Hashable] = set()
    for entry in entries:
        if entry[key] in seen:
            raise DataError(f"{path}: the {key} {shortened(entry[key])} occurs twice in {name!r}; remove one")
        seen.add(entry[key])

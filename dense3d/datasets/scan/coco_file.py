"""Reading annotation files in JSON, with errors that say what was expected and where it went wrong."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dense3d.errors import DataError, did_you_mean
from dense3d.files import is_folder
from dense3d.garbage import paused_collection

if TYPE_CHECKING:
    from dense3d.datasets.scan.coco_rules import Findings


def read_json(path: str | Path) -> Any:
    """Parse a JSON file; also one with a byte-order mark, or with NaN and Infinity as Python writes them.

    Raises:
        DataError: the file is missing (the nearest names are given), empty, truncated or no JSON.
    """
    import msgspec

    path = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113 - unlike Path's, for names that are too long as well
        raise DataError(f"{path}: {describe_absent(path)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read: {error.strerror}") from None
    try:
        return msgspec.json.decode(content)  # more than twice as fast as json
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_leniently(path, content)


def _read_leniently(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a JSON file (byte {error.start} is no text)") from None
    except json.JSONDecodeError as error:
        length = len(content)
        if length == 0:
            raise DataError(f"{path}: the file has zero bytes; restore or download it again") from None
        cut = error.pos >= len(error.doc.rstrip()) - 1 or "Unterminated" in error.msg
        what = f"the JSON text breaks off after {length} bytes" if cut else f"not valid JSON: {error.msg}"
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}: {what} ({where}); restore or download it again") from None
    except RecursionError:
        raise DataError(f"{path}: lists in lists without end; restore or download it again") from None
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{path}: not valid JSON: {error}; restore or download it again") from None


@dataclass
class CocoFile:
    """A COCO instances file as scan, loader and metric share it.

    Attributes:
        document: the lists ``images``, ``annotations`` and ``categories`` without entries of wrong types. Ids
            are int (those of images may be text), those of annotations begin at 1; ``bbox`` is four numbers,
            ``iscrowd`` 0 or 1 (what is to be ignored is a crowd), ``area`` positive, ``segmentation`` a list
            of polygons, run lengths, or [] for none.
        findings: faults, without which pycocotools can read the document, and notes.
    """

    document: dict[str, Any]
    findings: Findings


def read_coco(path: str | Path, *, masks: bool = False, annotations: bool = True) -> dict[str, Any]:
    """The document of a COCO instances file in the form that scan, loader and metric share.

    Args:
        path: the file.
        masks: every object needs a mask; one whose mask covers no pixel is left out.
        annotations: the file must have the list ``annotations``, which files of test images lack.

    Returns:
        See :class:`CocoFile`. pycocotools' index of it is :func:`dense3d.datasets.coco.index_of`.

    Raises:
        DataError: see :func:`open_coco`; or the first fault, and the number of all.
    """
    opened = open_coco(path, masks=masks, annotations=annotations)
    raise_first(opened.findings.faults)
    return opened.document


@paused_collection()
def open_coco(path: str | Path, *, masks: bool = False, annotations: bool = True) -> CocoFile:
    """Read a COCO instances file with all that is wrong in it; see :func:`read_coco`.

    Raises:
        DataError: see :func:`read_json`; or the JSON has another layout, with what was expected and seen.
    """
    from dense3d.datasets.scan import coco_rules
    from dense3d.datasets.scan.coco_schema import KINDS, take_sound

    document = read_json(path)
    if not annotations and isinstance(document, dict) and document.get("annotations") is None:
        document["annotations"] = []
    _check_layout(document, path, list(KINDS))
    found = coco_rules.Findings(str(path))
    if not document["images"]:
        found.fault("no-images", "the list 'images' is empty")
    for name in KINDS:
        found.faults += take_sound(document, name, str(path))
    unsound = {fault.image for fault in found.faults}
    sizes = dict.fromkeys(unsound) | coco_rules.check_images(document["images"], found)
    categories = coco_rules.check_categories(document, found)
    coco_rules.check_annotations(document, sizes, categories, masks, found)
    if annotations and not document["annotations"] and not found.faults:
        found.note("no-objects", "no image has an object", "training would learn background alone")
    return CocoFile(document, found)


def leave_out(document: dict[str, Any], images: set[Any]) -> None:
    """Take images and their annotations out of a document, by id."""
    for name, key in (("images", "id"), ("annotations", "image_id")):
        document[name] = [entry for entry in document[name] if entry[key] not in images]


def raise_first(faults: list[Any]) -> None:
    """Stop with the first of some faults and the number of all.

    Raises:
        DataError: there is one.
    """
    if faults:
        rest = f" [and {len(faults) - 1} more: dense3d browse CONFIG --check lists all]" if faults[1:] else ""
        raise DataError(f"{faults[0]}{rest}")


def _check_layout(document: Any, path: str | Path, needed: list[str]) -> None:
    lists = ", ".join(needed)
    if not isinstance(document, dict):
        kind = type(document).__name__
        hint = " (a list of results?)" if isinstance(document, list) else ""
        raise DataError(f"{path}: expected a JSON object with the lists {lists}, found a {kind}{hint}")
    missing = [key for key in needed if not isinstance(document.get(key), list)]
    if missing:
        seen = ", ".join(key[:40] for key in sorted(document)[:20]) or "nothing"
        raise DataError(
            f"{path}: not in COCO's instances format: no list {' or '.join(map(repr, missing))}; "
            f"expected the lists {lists}, found the keys {seen}"
        )
    first = next(iter(document.get("annotations") or ()), None)
    if isinstance(first, dict) and "segments_info" in first:
        raise DataError(
            f"{path}: COCO panoptic annotations (segments_info), but instances are needed; "
            "use the instances file or a panoptic dataset type"
        )


def describe_absent(path: Path) -> str:
    """Sentence on a path that does not exist: the first missing part, and what lies beside it."""
    existing = path
    while not os.path.exists(existing) and existing != existing.parent:  # noqa: PTH110 - as above
        existing = existing.parent
    missing = path.relative_to(existing).parts[0] if existing != path else path.name
    beside = sorted(p.name for p in existing.iterdir())[:200] if is_folder(existing) else []
    hint = did_you_mean(missing, beside)
    return f"does not exist: {existing.resolve()} has no {missing!r}{hint}"

"""Reading annotation files in JSON, with errors that say what was expected and where it went wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dense3d.errors import DataError, did_you_mean

REQUIRED = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


def read_json(path: str | Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: the file is missing (the nearest names are given), empty, truncated or no JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: {describe_absent(path)}")
    try:
        return json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a JSON file (byte {error.start} is no text)") from None
    except json.JSONDecodeError as error:
        length = path.stat().st_size
        if length == 0:
            raise DataError(f"{path}: the file has zero bytes; restore or download it again") from None
        cut = error.pos >= len(error.doc.rstrip()) - 1 or "Unterminated" in error.msg
        what = f"the JSON text breaks off after {length} bytes" if cut else f"not valid JSON: {error.msg}"
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}: {what} ({where}); restore or download it again") from None


def read_coco(path: str | Path) -> dict[str, Any]:
    """Read a COCO instances file.

    Raises:
        DataError: see :func:`read_json`; or the JSON has another layout, with what was expected and seen.
    """
    document = read_json(path)
    lists = ", ".join(REQUIRED)
    if not isinstance(document, dict):
        kind = type(document).__name__
        hint = " (a list of results?)" if isinstance(document, list) else ""
        raise DataError(f"{path}: expected a JSON object with the lists {lists}, found a {kind}{hint}")
    missing = [key for key in REQUIRED if not isinstance(document.get(key), list)]
    if missing:
        seen = ", ".join(sorted(document)) or "nothing"
        raise DataError(
            f"{path}: not in COCO's instances format: no list {' or '.join(map(repr, missing))}; "
            f"expected the lists {lists}, found the keys {seen}"
        )
    if document["annotations"] and "segments_info" in document["annotations"][0]:
        raise DataError(
            f"{path}: COCO panoptic annotations (segments_info), but instances are needed; "
            "use the instances file or a panoptic dataset type"
        )
    for name in REQUIRED:
        _require_keys(path, name, document[name])
    return document


def _require_keys(path: str | Path, name: str, entries: list[Any]) -> None:
    for index, entry in enumerate(entries):
        absent = [k for k in REQUIRED[name] if not isinstance(entry, dict) or k not in entry]
        if absent:
            raise DataError(
                f"{path}: not in COCO's instances format: "
                f"{name}[{index}] has no {' and no '.join(map(repr, absent))}; the keys are "
                f"{', '.join(REQUIRED[name])}"
            )


def describe_absent(path: Path) -> str:
    """Sentence on a path that does not exist: the first missing part, and what lies beside it."""
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    missing = path.relative_to(existing).parts[0] if existing != path else path.name
    beside = sorted(p.name for p in existing.iterdir())[:200] if existing.is_dir() else []
    hint = did_you_mean(missing, beside)
    return f"does not exist: {existing.resolve()} has no {missing!r}{hint}"

"""Types of what JSON files hold, checked by msgspec, with sentences instead of its messages.

A schema is a :class:`msgspec.Struct`: its annotations are the types, and fields without a default must be
there. Fields that it does not name are let through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from dense3d.errors import did_you_mean

CHUNK = 10_000  # entries whose converted copies are in memory at once
_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<kinds>[^`]*)`, got `.*`")
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object in braces",
    "null": "null",
}


def mismatches(entries: Sequence[Any], kind: Any) -> list[tuple[int, str]]:
    """What is wrong with the types of the entries of a list.

    Args:
        entries: values as a JSON reader gives them.
        kind: the type that each must have, for instance a :class:`msgspec.Struct`.

    Returns:
        Index and sentence of each entry that has another type; the sentence names the field.
    """
    wrong = []
    for start in range(0, len(entries), CHUNK):
        chunk = entries[start : start + CHUNK]
        try:
            msgspec.convert(chunk, list[kind])
        except (msgspec.ValidationError, OverflowError):
            checked = enumerate((mismatch(entry, kind) for entry in chunk), start)
            wrong += [(index, sentence) for index, sentence in checked if sentence is not None]
    return wrong


def mismatch(value: Any, kind: Any) -> str | None:
    """The first place where a value of JSON has another type than it should, as a sentence.

    Example:
        >>> mismatch([[1, "2"]], list[list[int]])
        "[0][1] is '2', not a whole number"
        >>> mismatch([1, 2], list[int])
    """
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return _sentence(str(error), value)
    except OverflowError:
        return "it has a number that is out of any range"
    return None


def shortened(value: Any, most: int = 60) -> str:
    """A value for a message, cut where it is long."""
    text = (
        repr(value) if not isinstance(value, int) or abs(value) < 10**most else f"an integer above 1e{most}"
    )
    return text if len(text) <= most else f"{text[:most]}..."


def _sentence(message: str, value: Any) -> str:
    found = _MESSAGE.fullmatch(message)
    path = (found["path"] or "").removeprefix(".")
    where, what = path or "it", found["what"]
    node = _node(value, path)
    missing = _MISSING.fullmatch(what)
    if missing:
        name = missing["name"]
        hint = did_you_mean(name, map(str, node)) if isinstance(node, dict) else ""
        return f"{where} has no {name!r}{hint.replace('did you mean', 'is it')}"
    expected = _EXPECTED.fullmatch(what)
    if not expected:
        return f"{where} is {shortened(node)}: {what[:1].lower()}{what[1:]}"
    kinds = expected["kinds"].split(" | ")
    words = [_WORDS.get(kind, kind) for kind in kinds if kind != "int" or "float" not in kinds]
    return f"{where} is {shortened(node)}, not {' or '.join(dict.fromkeys(words))}"


def _node(value: Any, path: str) -> Any:
    """The node at a path as msgspec writes it; the last known one where it names none, as for keys."""
    for name, index in re.findall(r"([^.\[\]]+)(?!\])|\[(\d+)\]", path):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            break
    return value

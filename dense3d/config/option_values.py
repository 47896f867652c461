"""The value of an option ``key=value``: numbers, words, lists and dicts, read without running code."""

from __future__ import annotations

import ast
from typing import Any

from dense3d.errors import ConfigError


class _NoPythonError(Exception):
    """What parses as Python, but is a word with a bracket or quote in it."""


_WORDS = {"true": True, "false": False}


def parse_value(text: str) -> Any:
    """What ``text`` stands for.

    Python's literals, and beyond them what mmengine's users write: words without quotes, ``true`` and
    ``false``, items with commas and no brackets (a list), ``dict(key=value)``.

    Raises:
        ConfigError: brackets or quotes do not match, a name other than ``dict`` is called, or brackets are
            nested too deeply.

    Example:
        >>> parse_value("dict(mode='slide', crop_size=(512, 512))")
        {'mode': 'slide', 'crop_size': (512, 512)}
        >>> parse_value("1e-4"), parse_value("[a,b]"), parse_value("1,2"), parse_value("data/my photos")
        (0.0001, ['a', 'b'], [1, 2], 'data/my photos')
    """
    if not any(mark in text for mark in ",()[]{}'\""):
        return _word(text)
    try:
        source = f"[{text}\n]"
        values = [_value(item, source) for item in ast.parse(source, mode="eval").body.elts]
    except (_NoPythonError, SyntaxError):
        return _outside_python(text)
    except ConfigError:
        raise
    except ValueError:  # a null byte, or an integer of thousands of digits
        return _outside_python(text)
    except (RecursionError, MemoryError):
        raise ConfigError("its brackets are nested too deeply") from None
    if len(values) == 1 and not text.rstrip().endswith(","):
        return values[0]
    return values


def _value(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Constant) and not isinstance(node.value, (bytes, complex, type(...))):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(item, text) for item in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ConfigError("the keys of a dict are words in quotes")
        return {key: _value(value, text) for key, value in zip(keys, node.values)}
    if isinstance(node, ast.Call):
        return _call(node, text)
    # What is no literal of Python is a word, such as -1, nan, data/coco or a.b.
    segment = ast.get_source_segment(text, node) or ""
    if any(mark in segment for mark in ",()[]{}'\""):
        raise _NoPythonError
    return _word(segment)


def _call(node: ast.Call, text: str) -> dict[str, Any]:
    name = node.func.id if isinstance(node.func, ast.Name) else None
    if name is None:
        raise _NoPythonError
    if name != "dict" or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ConfigError(
            f"{ast.get_source_segment(text, node)!r} is no value: nothing is called but dict(key=value, ...)"
        )
    return {keyword.arg: _value(keyword.value, text) for keyword in node.keywords}


def _word(text: str) -> Any:
    text = text.strip()
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return None if text == "None" else _WORDS.get(text.lower(), text)


def _outside_python(text: str) -> Any:
    """Text that is no Python: one word with a bracket or quote in it, or items such as ``[a/*.jpg, b c]``."""
    if "dict(" in text:
        raise ConfigError("it does not parse as Python: do brackets and quotes match, are there commas?")
    opening = {")": "(", "]": "[", "}": "{"}
    open_brackets: list[str] = []
    pieces, start = [], 0
    inner = text.strip()
    is_list, is_tuple = inner[:1] == "[" and inner[-1:] == "]", inner[:1] == "(" and inner[-1:] == ")"
    inner = inner[1:-1] if is_list or is_tuple else inner
    for place, letter in enumerate(inner):
        if letter in "([{":
            open_brackets.append(letter)
        elif letter in opening and (not open_brackets or open_brackets.pop() != opening[letter]):
            raise ConfigError("its brackets do not match")
        elif letter == "," and not open_brackets:
            pieces.append(inner[start:place])
            start = place + 1
    if open_brackets:
        raise ConfigError("its brackets do not match")
    pieces.append(inner[start:])
    if len(pieces) == 1 and not (is_list or is_tuple):
        return _word(inner)
    if any(mark in piece for piece in pieces for mark in "([{'\""):
        raise ConfigError("it is neither a word nor Python: do quotes and brackets match?")
    values = [_word(piece) for piece in pieces if piece.strip()]
    if is_tuple:
        return tuple(values)
    return values if is_list or len(pieces) > 1 else values[0] if values else ""

"""Which keyword arguments a class or function accepts, judged from its source without calling it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from dense3d.config.reads import Reads
from dense3d.config.syntax import method, parameters


@cache
def reads_of(target: Any) -> Reads:
    """What a class or function reads of its keyword arguments, and of the dicts among them."""
    return Reads(calls=(target,))


def accepted_arguments(
    target: Any, given: Mapping[str, Any] = {}, find: Callable[[str], Any] | None = None
) -> frozenset[str] | None:
    """Names of the keyword arguments, or None where they cannot be known.

    ``**kwargs`` is followed to where it goes: to base classes, to other classes, or into a dict of which
    the code reads keys.

    Args:
        target: class or function.
        given: the arguments that a config gives it. One may name the class that takes the others, as
            ``resize_type`` of mmcv's ``RandomResize``.
        find: from the name of such a class to the class.
    """
    reads = reads_of(target)
    if reads.is_open or reads.takes_any_key or not reads.keys:
        return None
    names = set(reads.keys)
    for kind in reads.built:
        inner = find(_named(kind, target, given)) if find and kind is not None else None
        more = accepted_arguments(inner) if inner is not None else None
        if more is None:
            return None
        names |= more
    return frozenset(names)


def _named(kind: ast.expr, target: Any, given: Mapping[str, Any]) -> str:
    """The name of the type that an expression of the class gives: a constant, or one of the arguments."""
    if isinstance(kind, ast.Constant):
        return str(kind.value)
    name = kind.id if isinstance(kind, ast.Name) else ""
    found = method(target, "__init__") if isinstance(target, type) else (None, target)
    default = next((p.default for p in parameters(found[1]) or () if p.name == name), "")
    return str(given.get(name, default))

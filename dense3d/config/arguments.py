"""Which keyword arguments a class or function accepts, judged from signatures without calling it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from typing import Any


@cache
def accepted_arguments(target: Any) -> frozenset[str] | None:
    """Names of the keyword arguments, or None where they cannot be known.

    A constructor with ``**kwargs`` is followed to its base classes only if all it does with
    ``kwargs`` is to hand it to ``super().__init__``.
    """
    if not inspect.isclass(target):
        return _of_function(target)
    names: set[str] = set()
    for cls in target.__mro__:
        init = cls.__dict__.get("__init__")
        if init is None:
            continue
        if cls is object:
            return frozenset(names) or None
        try:
            parameters = list(inspect.signature(init).parameters.values())[1:]
        except (TypeError, ValueError):
            return None
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        if rest is None:
            return frozenset(names)
        if not _only_forwards(init, rest):
            return None
    return frozenset(names)


def _of_function(function: Any) -> frozenset[str] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters)


def _only_forwards(init: Any, rest: str) -> bool:
    """Whether the only use of ``**rest`` in ``init`` is ``super().__init__(..., **rest)``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):
        return False
    uses = sum(isinstance(node, ast.Name) and node.id == rest for node in ast.walk(tree))
    forwards = sum(_forwards_to_super(node, rest) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return uses == forwards == 1


def _forwards_to_super(call: ast.Call, rest: str) -> bool:
    method = call.func
    if not (
        isinstance(method, ast.Attribute) and method.attr == "__init__" and isinstance(method.value, ast.Call)
    ):
        return False
    is_super = isinstance(method.value.func, ast.Name) and method.value.func.id == "super"
    # super(Class, self) may start further up the bases than the next one.
    return (
        is_super
        and not method.value.args
        and any(k.arg is None and isinstance(k.value, ast.Name) and k.value.id == rest for k in call.keywords)
    )

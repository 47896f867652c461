"""Syntax trees of functions and classes: who uses which name, found without running or importing more."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# Classes whose constructors take nothing of a config: the ends of every class tree.
_ENDS = ("torch.", "builtins", "abc", "typing", "collections")


@dataclass(frozen=True, eq=False)
class Code:
    """One function: its tree, and every place where a name or an attribute of self stands."""

    function: types.FunctionType
    tree: ast.FunctionDef
    parents: dict[ast.AST, ast.AST] = field(repr=False)
    names: dict[str, list[ast.Name]] = field(repr=False)
    attributes: dict[str, list[ast.Attribute]] = field(repr=False)

    def resolve(self, node: ast.expr) -> Any | None:
        """The object that a name or ``module.name`` stands for; None: unknown."""
        if isinstance(node, ast.Name):
            found = self.function.__globals__.get(node.id)
            return _imported_inside(self, node.id) if found is None else found
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value)
            return getattr(owner, node.attr, None) if owner is not None else None
        return None


@cache
def code_of(function: Any) -> Code | None:
    """The code of a Python function or method, behind decorators that say what they wrap; else None."""
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not isinstance(function, types.FunctionType):
        return None
    tree = _functions(function.__code__.co_filename).get(
        (function.__code__.co_name, function.__code__.co_firstlineno)
    )
    if tree is None:
        return None
    parents, names, attributes = {}, {}, {}
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            parents[child] = node
        if isinstance(node, ast.Name):
            names.setdefault(node.id, []).append(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            attributes.setdefault(node.attr, []).append(node)
    return Code(function, tree, parents, names, attributes)


@cache
def _functions(file: str) -> dict[tuple[str, int], ast.FunctionDef]:
    """The functions of a file by name and first line, decorators included."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        (node.name, min([node.lineno, *(d.lineno for d in node.decorator_list)])): node
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    }


@cache
def lineage(cls: type) -> tuple[type, ...]:
    """The class and its bases, without those of torch and Python, which read no dict of a config."""
    return tuple(base for base in cls.__mro__ if not base.__module__.startswith(_ENDS))


@cache
def methods(cls: type) -> tuple[tuple[type, Any], ...]:
    """Every function that the class or a base defines, with the class that does."""
    return tuple((owner, function) for owner in lineage(cls) for function in _own_functions(owner))


def _own_functions(owner: type) -> Iterator[Any]:
    for value in vars(owner).values():
        value = getattr(value, "fget", None) or getattr(value, "__func__", value)
        if isinstance(value, types.FunctionType):
            yield value


def method(cls: type, name: str, after: type | None = None) -> tuple[type, Any] | None:
    """The function that ``cls`` has as ``name``, beyond ``after`` in the order of bases; with its owner."""
    order = cls.__mro__
    order = order[order.index(after) + 1 :] if after in order else order
    for owner in order:
        if name in vars(owner):
            found = vars(owner)[name]
            return owner, getattr(found, "__func__", found)
    return None


@cache
def former_names(function: Any) -> frozenset[str]:
    """Names of arguments that mmengine's ``deprecated_api_warning`` still takes for others."""
    names: set[str] = set()
    while function is not None:
        scope = inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}
        if isinstance(scope.get("name_dict"), dict):
            names |= scope["name_dict"].keys()
        function = getattr(function, "__wrapped__", None)
    return frozenset(names)


@cache
def parameters(function: Any) -> tuple[inspect.Parameter, ...] | None:
    """The parameters of a function, ``self`` included where it has one; None: unknown."""
    try:
        return tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _imported_inside(code: Code, name: str) -> Any | None:
    """What an import statement inside the function gives the name, if its module is loaded already."""
    import sys

    for node in ast.walk(code.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    package = code.function.__globals__.get("__package__") or ""
                    base = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
                    return getattr(sys.modules.get(f"{base}{node.module}"), alias.name, None)
    return None

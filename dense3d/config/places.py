"""Where a key or value of a config is written: the line of a file, or the option of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dense3d.config.sources import Source

OPTIONS = "_dense3d_options"  # attribute of a loaded config that keeps the options merged into it


def option_sources(options: dict[str, Any]) -> list[Source]:
    """Options of the command line as sources, so that faults in them are located there."""
    sources = []
    for key, value in options.items():
        dotted = key.lstrip("+")
        try:
            tree = ast.parse(f"dict(**{{{dotted.rpartition('.')[2]!r}: {value!r}}})")
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # from Python: any object
            tree = None
        sources.append(Source(f"--cfg-options {key}", None, tree, dotted))
    return sources


def locate(sources: list[Source], key: str, value: str | None = None) -> str:
    """``file:line`` of a key, or of a key with that value; files that inherit come before their bases."""
    for source in sources:
        for name, node in _pairs(source.tree):
            if name == key and (value is None or (isinstance(node, ast.Constant) and node.value == value)):
                return _place(source, node.lineno)
    return str(sources[0].path) if sources else "config"


def writes(source: Source, key: str, value: str | None = None) -> bool:
    """Whether a file writes the key, or the key with that value."""
    return any(
        name == key and (value is None or (isinstance(node, ast.Constant) and node.value == value))
        for name, node in _pairs(source.tree)
    )


def locate_path(sources: list[Source], path: str) -> str:
    """``file:line`` of what stands at a dotted path, or of the nearest above it that a file writes there."""
    parts = path.split(".")
    if not sources:
        return "config"
    for depth in range(len(parts), 0, -1):
        above = parts[:depth]
        for source in sources:
            if source.option is not None:
                option = source.option.split(".")
                if option[:depth] == above and (depth == len(parts) or len(option) == depth):
                    return str(source.path)
            elif (line := _line_of(source.tree, above)) is not None:
                return _place(source, line)
        if depth == len(parts):  # a key that only one dict has is found whatever variable holds the dict
            places = {
                _place(source, node.lineno)
                for source in sources
                for name, node in _pairs(source.tree)
                if name == parts[-1]
            }
            if len(places) == 1:
                return places.pop()
    return str(sources[0].path)


def rank_of(sources: list[Source], path: str) -> int | None:
    """Number of the first source that writes what stands at a dotted path; a base's is the greater."""
    parts = path.split(".")
    for rank, source in enumerate(sources):
        if source.option is None and _line_of(source.tree, parts) is not None:
            return rank
        if source.option is not None and parts == source.option.split("."):
            return rank
    return None


def used_names(sources: list[Source]) -> set[str]:
    """Variables that some file of the configuration reads, directly or as ``_base_.name``."""
    names: set[str] = set()
    for source in sources:
        for node in ast.walk(source.tree) if source.tree else ():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.update(re.findall(r"_base_\.(\w+)", node.value))
    return names


def _place(source: Source, line: int) -> str:
    return f"{source.path}:{line}" if isinstance(source.path, Path) else source.path


def _pairs(tree: ast.Module | None) -> Iterator[tuple[str, ast.expr]]:
    """Every (key, value node) that the file writes: assignments, keyword arguments, dict entries."""
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
                elif isinstance(target, ast.Attribute):
                    yield target.attr, node.value
        else:
            yield from _entries(node)


def _entries(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _line_of(tree: ast.Module | None, parts: list[str]) -> int | None:
    """Line of the value at a dotted path, through variables of the same file."""
    variables: dict[str, ast.expr] = {}
    for statement in tree.body if tree else ():
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            variables[statement.targets[0].id] = statement.value
    node = variables.get(parts[0])
    for part in parts[1:]:
        if isinstance(node, ast.Name):
            node = variables.get(node.id)
        if isinstance(node, (ast.List, ast.Tuple)) and part.isdigit() and int(part) < len(node.elts):
            plain = not any(isinstance(item, ast.Starred) for item in node.elts)
            node = node.elts[int(part)] if plain else None
        elif isinstance(node, ast.Call):
            node = next((word.value for word in node.keywords if word.arg == part), None)
        elif isinstance(node, ast.Dict):
            node = dict(_entries(node)).get(part)
        else:
            return None
        if node is None:
            return None
    return node.lineno if node is not None else None

"""The files a configuration is made of, and the line where a name stands in them."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dense3d.config.shipped import PREFIX, find_shipped, missing_config
from dense3d.errors import ConfigError, did_you_mean

BASE_KEY = "_base_"
OPTIONS = "_dense3d_options"  # attribute of a loaded config that keeps the options merged into it
LIBRARIES = ("mmdet", "mmseg", "mmpretrain", "mmdet3d", "mmpose", "mmrotate")
# {{_base_.name}}, {{fileBasename}} and {{$VARIABLE:default}} are filled in by mmengine before parsing.
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")


@dataclass(frozen=True)
class Source:
    """One file of a configuration, or an option: its name, library (None: local) and syntax tree."""

    path: Path | str
    scope: str | None
    tree: ast.Module | None

    def line_of_value(self, key: str, value: str) -> int | None:
        """Line where ``key="value"`` (or ``{"key": "value"}``) stands, or None."""
        for name, node in _pairs(self.tree):
            if name == key and isinstance(node, ast.Constant) and node.value == value:
                return node.lineno
        return None

    def line_of_key(self, key: str) -> int | None:
        """Line where the key is written: an assignment, a keyword or a dict key, or None."""
        for name, node in _pairs(self.tree):
            if name == key:
                return node.lineno
        return None


def _pairs(tree: ast.Module | None):
    """Every (key, value node) that the file writes: assignments, keyword arguments, dict entries."""
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
                elif isinstance(target, ast.Attribute):
                    yield target.attr, node.value
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, value


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


def locate(sources: list[Source], key: str, value: str | None = None) -> str:
    """``file:line`` of a key, or of a key with that value; files that inherit come before their bases."""
    for source in sources:
        line = source.line_of_key(key) if value is None else source.line_of_value(key, value)
        if line is not None:
            return f"{source.path}:{line}" if isinstance(source.path, Path) else source.path
    return str(sources[0].path) if sources else "config"


def option_sources(options: dict[str, Any]) -> list[Source]:
    """Options of the command line as sources, so that faults in them are located there."""
    sources = []
    for key, value in options.items():
        name = key.rpartition(".")[2].lstrip("+")
        tree = ast.parse(f"dict(**{{{name!r}: {value!r}}})")
        sources.append(Source(f"--cfg-options {key}", None, tree))
    return sources


def read_sources(path: Path) -> list[Source]:
    """The file and all it inherits, children before bases.

    Raises:
        ConfigError: a file is missing (the nearest names are given) or has a syntax error (with line).
    """
    if not path.is_file():
        raise missing_config(path)
    return _read(path.resolve(), None, ())


def _read(path: Path, scope: str | None, chain: tuple[Path, ...]) -> list[Source]:
    if path in chain:
        raise ConfigError(
            f"{path}: the config inherits from itself; remove it from {BASE_KEY} of {chain[-1]}"
        )
    if path.suffix != ".py":
        return [Source(path, scope, None)]
    tree = _parse(str(path), path.stat().st_mtime_ns)
    sources = [Source(path, scope, tree)]
    for base, line in _bases(tree, path):
        base_scope, base_path = _resolve_base(base, path, line)
        sources += _read(base_path, base_scope or scope, (*chain, path))
    return sources


@lru_cache(maxsize=256)
def _parse(path: str, _mtime: int) -> ast.Module:
    try:
        return ast.parse(_quote_placeholders(_read_text(Path(path))))
    except SyntaxError as error:
        shown = (error.text or "").strip()
        raise ConfigError(f"{path}:{error.lineno}: syntax error: {error.msg}, at {shown!r}") from None


def _quote_placeholders(text: str) -> str:
    """Turn ``{{_base_.x}}`` outside strings into a string constant, so that the file parses as Python."""

    def quote(match: re.Match) -> str:
        before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        inside_string = before.count("'") % 2 or before.count('"') % 2
        inner = match.group(0).strip("{} ").strip("'\"")
        return inner if inside_string else repr(inner)

    return _PLACEHOLDER.sub(quote, text)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from None


def _bases(tree: ast.Module, path: Path) -> list[tuple[str, int]]:
    for node in tree.body:
        is_base = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if is_base and node.targets[0].id == BASE_KEY:
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                raise ConfigError(
                    f"{path}:{node.lineno}: {BASE_KEY} must be a string or a list of strings"
                ) from None
            bases = value if isinstance(value, (list, tuple)) else [value]
            return [(base, node.lineno) for base in bases]
    return []


def _resolve_base(base: str, path: Path, line: int) -> tuple[str | None, Path]:
    where = f"{path}:{line}"
    if "::" not in base:
        target = (path.parent / base).resolve()
        if not target.is_file():
            raise missing_config(target, f"{where}: ")
        return None, target
    if base.startswith(PREFIX):
        return None, find_shipped(base, f"{where}: ")
    scope, _, name = base.partition("::")
    spec = importlib.util.find_spec(scope) if scope.isidentifier() else None
    if spec is None or not spec.origin:
        hint = "; install it" if scope in LIBRARIES else did_you_mean(scope, LIBRARIES)
        raise ConfigError(f"{where}: {BASE_KEY} names the library {scope!r}, which is not installed{hint}")
    folder = Path(spec.origin).parent / ".mim" / "configs"
    target = folder / name
    if not target.is_file():
        known = [p.relative_to(folder).as_posix() for p in folder.rglob("*.py")]
        hint = did_you_mean(name, known)
        raise ConfigError(f"{where}: {scope} has no config {name!r}{hint}")
    return scope, target

"""The files a configuration is made of."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dense3d.config.shipped import PREFIX, find_shipped, missing_config
from dense3d.errors import ConfigError, did_you_mean

BASE_KEY = "_base_"
LIBRARIES = ("mmdet", "mmseg", "mmpretrain", "mmdet3d", "mmpose", "mmrotate")
# {{_base_.name}}, {{fileBasename}} and {{$VARIABLE:default}} are filled in by mmengine before parsing.
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")


@dataclass(frozen=True)
class Source:
    """One file of a configuration, or an option: its name, library (None: local) and syntax tree.

    ``option`` is the dotted key of an option of the command line.
    """

    path: Path | str
    scope: str | None
    tree: ast.Module | None
    option: str | None = None


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
        base_scope, base_path = resolve_base(base, path, line)
        sources += _read(base_path, base_scope or scope, (*chain, path))
    return sources


@lru_cache(maxsize=256)
def _parse(path: str, _mtime: int) -> ast.Module:
    try:
        return ast.parse(_quote_placeholders(_read_text(Path(path))))
    except SyntaxError as error:
        shown = (error.text or "").strip()
        raise ConfigError(f"{path}:{error.lineno}: syntax error: {error.msg}, at {shown!r}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, brackets nested too deeply
        reason = str(error) or "it is nested too deeply"
        raise ConfigError(f"{path}: no Python file: {reason}") from None


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
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _bases(tree: ast.Module, path: Path) -> list[tuple[str, int]]:
    for node in tree.body:
        is_base = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if is_base and node.targets[0].id == BASE_KEY:
            try:
                value = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                value = None
            bases = value if isinstance(value, (list, tuple)) else [value]
            if not all(isinstance(base, str) and base for base in bases):
                raise ConfigError(
                    f"{path}:{node.lineno}: {BASE_KEY} must be a string or a list of strings, not "
                    f"{_few(ast.unparse(node.value))}"
                )
            return [(base, node.lineno) for base in bases]
    return []


def _few(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def resolve_base(base: str, path: Path, line: int) -> tuple[str | None, Path]:
    """Library (None: local) and file of a base that line ``line`` of the file ``path`` names.

    Raises:
        ConfigError: there is no such file or library; the nearest name is given.
    """
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

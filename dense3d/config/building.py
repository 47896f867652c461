"""Faults of a config that only building it shows, as one sentence with the place in the config."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.config.places import OPTIONS, locate_path, option_sources
from dense3d.config.sources import read_sources
from dense3d.errors import ConfigError, Dense3dError

# Functions of the runner that make something of the settings; nothing is computed in them yet.
_BUILDERS = ("from_cfg", "setup_env", "set_randomness", "scale_lr", "_check_scheduler_cfg")


@contextmanager
def explained_building(cfg: Config) -> Iterator[None]:
    """Turn what goes wrong while parts of a config are built into a :class:`ConfigError`.

    Errors of what runs after building pass unchanged. ``DENSE3D_TRACEBACK=1`` shows where one came from.

    Raises:
        ConfigError: file, line, type and the error's own words.
    """
    try:
        yield
    except Dense3dError:
        raise
    except Exception as error:
        sentence = _sentence(error, cfg)
        if sentence is None:
            raise
        raise ConfigError(sentence) from error


def _sentence(error: Exception, cfg: Config) -> str | None:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    words = _words(error)
    for frame in reversed(frames):
        if frame.f_code.co_name == "build_from_cfg" and isinstance(frame.f_locals.get("cfg"), Mapping):
            built = frame.f_locals["cfg"]
            kind = built.get("type")
            path = next(_find(cfg._cfg_dict, built), "")
            name = kind if isinstance(kind, str) else getattr(kind, "__name__", "a dict without type")
            at = f" at {path}" if path else ""
            return f"{_place(cfg, path)}: {name}{at} cannot be built: {words}"
    names = [frame.f_code.co_name for frame in frames]
    if any(name.startswith("build_") or name in _BUILDERS for name in names) and "run" not in names:
        return f"{_place(cfg, '')}: the config cannot be built: {words}"
    return None


def _words(error: Exception) -> str:
    """The error's message in one line of no great length, with its kind."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 240 else f"{text[:240]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(cfg: Config, path: str) -> str:
    sources = read_sources(Path(cfg.filename)) if cfg.filename and Path(cfg.filename).is_file() else []
    sources = [*option_sources(vars(cfg).get(OPTIONS, {})), *sources]
    return locate_path(sources, path) if path else (cfg.filename or "the config")


def _find(node: Any, built: Mapping, path: str = "") -> Iterator[str]:
    """Paths of the dicts that the built one may be a copy of: of its type, with no other keys."""
    if isinstance(node, Mapping):
        if path and node.get("type") == built.get("type") and set(node) - {"_scope_"} <= set(built):
            yield path
        for key, value in node.items():
            yield from _find(value, built, f"{path}.{key}" if path else key)
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            yield from _find(value, built, f"{path}.{number}")

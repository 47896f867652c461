"""Loading: inheritance (also from mmdet and mmseg), scopes, and errors that name file and line."""

from __future__ import annotations

import logging
import traceback
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config import utils as config_utils

from dense3d.config.moving import follow_files
from dense3d.config.options import apply_options
from dense3d.config.places import OPTIONS, writes
from dense3d.config.projects import KEY as PROJECTS
from dense3d.config.projects import add_project, find_projects
from dense3d.config.shipped import resolve_config
from dense3d.config.sources import Source, read_sources, resolve_base
from dense3d.config.types import SCOPES
from dense3d.errors import ConfigError

DEFAULT_SCOPE = "dense3d"
# mmcv takes these dicts apart by hand, where a scope mark would become an unknown argument.
UNMARKED = ("norm_cfg", "act_cfg", "conv_cfg", "upsample_cfg", "init_cfg")


def load_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config file with all it inherits and merge ``options`` into it.

    ``_base_`` may name files or configs that dense3d, mmdet and mmseg ship (``"mmdet::dino/...py"``). Names
    of types resolve in dense3d unless a prefix says otherwise; inside a dict of type ``"mmdet.X"`` names
    without prefix are mmdet's. A config in a folder ``projects/NAME`` finds what the modules there register.

    A name at the top level that begins with an underscore is a variable of the files, which those that
    inherit read as ``_base_._name``, and no setting: it is not in the result.

    Args:
        path: config file, or one of dense3d's: see :func:`dense3d.config.resolve_config`.
        options: dotted keys and values, see :func:`dense3d.config.parse_options`.

    Raises:
        ConfigError: the file or a base is missing, does not parse or fails when run, or an option
            names no existing key. Contents are checked by :func:`dense3d.config.check_config`.
    """
    path = resolve_config(path)
    sources = read_sources(path)
    _make_mmseg_findable()
    disabled = logging.root.manager.disable
    logging.disable(logging.INFO)  # mmengine prints each environment variable that a config reads
    try:
        cfg = Config.fromfile(str(path))
    except (Exception, SystemExit) as error:
        raise _explained(error, sources) from error
    finally:
        logging.disable(disabled)
    # Its text is valid Python without yapf too, which takes seconds for the five times that a run asks for
    # it. fromfile has an argument for that and ignores it.
    object.__setattr__(cfg, "_format_python_code", False)
    for name in [name for name in cfg if name.startswith("_")]:
        cfg._cfg_dict.pop(name)
    follow_files(cfg, sources)
    if options:
        apply_options(cfg, options)
        object.__setattr__(cfg, OPTIONS, dict(options))  # not a setting; tells errors where a value is from
    _set_default_scope(cfg, sources, options or {})
    for folder in cfg.get(PROJECTS, ()):
        add_project(folder)
    projects = find_projects(sources)
    if projects:
        cfg[PROJECTS] = projects
    for value in cfg._cfg_dict.values():
        mark_scopes(value, cfg.default_scope)
    return cfg


_local_base = Config._get_cfg_path


def _base_path(base: str, child: str) -> tuple[str, str | None]:
    """The file and scope of a base.

    mmengine knows the configs of OpenMMLab's libraries alone, and reads all their lists of models for each.
    """
    if "::" not in base:
        return _local_base(base, child)
    scope, path = resolve_base(base, Path(child), 1)
    return str(path), scope


Config._get_cfg_path = staticmethod(_base_path)


def _make_mmseg_findable() -> None:
    """mmengine looks mmseg up under its distribution's name, which onedl-mmsegmentation does not have."""
    try:
        distribution("mmsegmentation")
    except PackageNotFoundError:
        config_utils.MODULE2PACKAGE["mmseg"] = "mmseg"


def _set_default_scope(cfg: Config, sources: list[Source], options: dict[str, Any]) -> None:
    """A library's own ``default_scope`` counts for its own dicts, which are marked; ours is dense3d."""
    written_here = any(s.scope is None and writes(s, "default_scope") for s in sources)
    parsed = all(s.tree is not None for s in sources)
    if "default_scope" in options or written_here or not parsed:
        cfg.setdefault("default_scope", DEFAULT_SCOPE)
    else:
        cfg.default_scope = DEFAULT_SCOPE


def mark_scopes(node: Any, scope: str | None, key: str = "") -> None:
    """Turn ``type="library.X"`` into ``type="X"`` with a mark that makes names inside it that library's.

    mmengine resolves a prefixed type but builds what lies inside it under the default scope. With the
    mark instead of the prefix, names that the library inherits from mmengine or mmcv are found as well.
    """
    if isinstance(node, dict):
        scope = node.get("_scope_") or scope
        kind = node.get("type")
        prefix, _, name = kind.partition(".") if isinstance(kind, str) else ("", "", "")
        if prefix in SCOPES and "." not in name and not key.endswith(UNMARKED):
            if node.get("_scope_", scope) == prefix:
                node["type"] = name
            elif "_scope_" not in node:
                node.update(type=name, _scope_=prefix)
                scope = prefix
        for name, value in list(node.items()):
            mark_scopes(value, scope, name)
    elif isinstance(node, (list, tuple)):
        for value in node:
            mark_scopes(value, scope, key)


def _explained(error: BaseException, sources: list[Source]) -> ConfigError:
    """One sentence with the line of the config file where running it failed."""
    files = {str(source.path) for source in sources}
    where = next(
        (
            f"{f.filename}:{f.lineno}"
            for f in reversed(traceback.extract_tb(error.__traceback__))
            if f.filename in files
        ),
        str(sources[0].path),
    )
    if isinstance(error, ImportError) and error.__cause__:
        error = error.__cause__
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    name = "" if isinstance(error, (KeyError, ImportError)) else f"{type(error).__name__}: "
    sentence = next(iter(str(message).splitlines()), "") or "running the file ends here without a message"
    return ConfigError(f"{where}: {name}{sentence}")

"""Which backbones a comparison has: small variants by name, or those of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from dense3d.backbones.variants import tiny_backbones
from dense3d.errors import ConfigError, did_you_mean
from dense3d.files import is_file


def backbones_of_file(path: str | Path) -> dict[str, dict]:
    """The dicts with a ``type`` of a Python file, by their names.

    Raises:
        ConfigError: the file is missing or faulty, or has no such dict.
    """
    if not is_file(path):
        raise ConfigError(f"{path} does not exist: give a Python file with a dict for each backbone")
    try:
        content = Config.fromfile(str(path))
    except Exception as error:  # whatever its lines raise
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    found = {n: v.to_dict() for n, v in content.items() if isinstance(v, Mapping) and "type" in v}
    if not found:
        raise ConfigError(f"{path} has no dict with a type, such as swin = dict(type='dense3d.Swin')")
    return found


def chosen_variants(names: Sequence[str] | None, known: Mapping[str, dict] | None = None) -> dict[str, dict]:
    """The backbones of these names, in this order; all without names.

    Args:
        names: such as ``"Swin (V2)"``.
        known: name -> config; the small variants unless given.

    Raises:
        ConfigError: there is none of a name.

    Example:
        >>> chosen_variants(["Swin (V2)"])["Swin (V2)"]["version"]
        2
    """
    known = tiny_backbones() if known is None else known
    for name in names or ():
        if name not in known:
            raise ConfigError(
                f"there is no backbone {name!r}{did_you_mean(name, known)}; --backbones list prints all"
            )
    return {name: known[name] for name in (names or known)}

"""The sizes of a hierarchical backbone from its argument ``arch``: a released name, or a dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dense3d.errors import ConfigError, did_you_mean


def stage_sizes(
    family: str,
    arch: str | Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, tuple]:
    """One value a stage for every key of ``arch``.

    Args:
        family: named in messages.
        arch: a key of ``known``, or a dict with the keys of its entries.
        known: released sizes; each has ``depths``.
        defaults: values of the keys that ``arch`` may leave out. Here and in ``arch``, a single value stands
            for all stages.

    Raises:
        ConfigError: unknown name or key, a key that is missing, or not one value a stage.

    Example:
        >>> known = {"tiny": dict(dims=(8, 16), depths=(1, 2))}
        >>> stage_sizes("Toy", dict(dims=(4, 6), depths=(1, 1)), known, dict(mlp_ratios=4))
        {'mlp_ratios': (4, 4), 'dims': (4, 6), 'depths': (1, 1)}
    """
    if isinstance(arch, str) and arch not in known:
        raise ConfigError(
            f"{family} has no size {arch!r}{did_you_mean(arch, known)} (known: {', '.join(known)})"
        )
    sizes = {**(defaults or {}), **(known[arch] if isinstance(arch, str) else arch)}
    keys = {**(defaults or {}), **dict.fromkeys(key for entry in known.values() for key in entry)}
    unknown = sorted(set(sizes) - set(keys))
    if unknown:
        raise ConfigError(f"{family}: arch has no key {unknown[0]!r}{did_you_mean(unknown[0], keys)}")
    missing = [key for key in keys if key not in sizes]
    if missing:
        raise ConfigError(f"{family}: arch needs {', '.join(missing)}")
    stages = len(sizes["depths"])
    per_stage = {
        key: tuple(value) if isinstance(value, Sequence) else (value,) * stages
        for key, value in sizes.items()
    }
    for key, values in per_stage.items():
        if len(values) != stages:
            raise ConfigError(f"{family}: arch has {stages} depths, but {len(values)} {key}")
    return per_stage

"""Parts of the networks that a config describes, with one sentence on settings that they do not have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dense3d.errors import ConfigError, did_you_mean

Part = TypeVar("Part")


def part(
    kind: Callable[..., Part], name: str, settings: Any, *fixed: Any, of: Callable | None = None
) -> Part:
    """Build a part.

    Args:
        kind: its class.
        name: of the setting that describes it, for messages.
        settings: that setting.
        fixed: the first arguments, which the setting does not name.
        of: whose arguments the settings are, if ``kind`` hands them on; ``fixed`` are not among them then.

    Raises:
        ConfigError: the setting is no mapping, or names something that the part does not have.

    Example:
        >>> part(dict, "encoder", {"deptth": 3}, of=lambda depth, dropout: None)
        Traceback (most recent call last):
        dense3d.errors.ConfigError: encoder has no 'deptth'; did you mean 'depth'? It has depth, dropout
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{name}={settings!r}: give a dict of settings")
    known = list(inspect.signature(of or kind).parameters)[0 if of else len(fixed) :]
    for key in settings:
        if key not in known:
            hint = did_you_mean(str(key), known) or "."
            raise ConfigError(f"{name} has no {key!r}{hint} It has {', '.join(known)}")
    return kind(*fixed, **settings)

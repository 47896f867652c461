"""The checkpoint that a point network's ``init_cfg`` names."""

from __future__ import annotations

from typing import Any

from dense3d.errors import ConfigError


def checkpoint_of(init_cfg: Any, network: str) -> str:
    """The file of ``dict(type="Pretrained", checkpoint=FILE)``.

    Args:
        init_cfg: that, or a list with it alone.
        network: named in messages.

    Raises:
        ConfigError: it is something else.

    Example:
        >>> checkpoint_of(dict(type="Pretrained", checkpoint="weights.pth"), "PointNet2")
        'weights.pth'
    """
    entries = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg)
    if len(entries) != 1 or entries[0].get("type") != "Pretrained" or "checkpoint" not in entries[0]:
        raise ConfigError(
            f"init_cfg of a {network} is dict(type='Pretrained', checkpoint=FILE) or None, not {init_cfg!r}"
        )
    return entries[0]["checkpoint"]

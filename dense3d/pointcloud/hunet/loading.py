"""Weights of pre-training for a HUNet."""

from __future__ import annotations

import os
from typing import Any

from dense3d.errors import CheckpointError, ConfigError
from dense3d.pointcloud.hunet.network import HUNet
from dense3d.pointcloud.pretrained import checkpoint_of


def load_pretrained(network: HUNet, path: str | os.PathLike, prefix: str | None = None) -> None:
    """Load a network of a checkpoint: of masked scene modelling, of a segmenter, or an official one.

    Args:
        network: of the same sizes.
        path: a file of ours, or an official one.
        prefix: before the names of the network in a file of ours, such as ``"teacher."``; the student's or a
            model's backbone unless given, as the released weights are those of the student.

    Raises:
        CheckpointError: the file cannot be read, has no such network, or names or shapes differ.
    """
    from dense3d.checkpoints.msm import network_weights
    from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of

    checkpoint = load_checkpoint(path)
    if "state_dict" not in checkpoint and "model" in checkpoint:
        checkpoint = {"state_dict": checkpoint["model"]}
    state = weights_of(checkpoint, path)
    if prefix is None:
        weights = network_weights(state)
    else:
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if not weights:
        where = "" if prefix is None else f" behind {prefix!r}"
        raise CheckpointError(f"{path} has no network of masked scene modelling{where}")
    load_into(network, weights, source=str(path))


def load_of_init_cfg(network: HUNet, init_cfg: Any) -> None:
    """What ``init_cfg=dict(type="Pretrained", checkpoint=FILE, prefix=...)`` asks for.

    Raises:
        ConfigError: it is something else.
    """
    known = {"type", "checkpoint", "prefix"}
    path = checkpoint_of(init_cfg, "HUNet")
    (entry,) = [init_cfg] if isinstance(init_cfg, dict) else init_cfg
    if unknown := sorted({*entry} - known):
        raise ConfigError(f"init_cfg of a HUNet has {', '.join(sorted(known))}, not {unknown[0]!r}")
    load_pretrained(network, path, entry.get("prefix"))

"""Weights of pre-training for an encoder of radiance grids."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dense3d.pointcloud.pretrained import checkpoint_of

if TYPE_CHECKING:
    from dense3d.radiance.swin3d import Swin3D


def load_pretrained(network: Swin3D, path: str | os.PathLike) -> None:
    """Load the encoder of a checkpoint of NeRF-MAE, of a task that it is used for, or of NeRF-RPN.

    Args:
        network: of the same sizes.
        path: a file of ours, or an official one.

    Raises:
        CheckpointError: the file cannot be read, has no such encoder, or names or shapes differ.
    """
    from dense3d.checkpoints.nerf_mae import encoder_weights
    from dense3d.engine.checkpoint import load_checkpoint
    from dense3d.engine.differences import load_into

    load_into(network, encoder_weights(load_checkpoint(path)), source=str(path))


def load_of_init_cfg(network: Swin3D, init_cfg: Any) -> None:
    """What ``init_cfg=dict(type="Pretrained", checkpoint=FILE)`` asks for.

    Raises:
        ConfigError: it is something else.
    """
    load_pretrained(network, checkpoint_of(init_cfg, "Swin3D"))

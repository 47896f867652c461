"""Pre-trained weights for networks of voxels: NeRF-MAE's encoder and the coarser part of its decoder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dense3d.errors import CheckpointError

if TYPE_CHECKING:
    from dense3d.radiance.voxels.network import VoxelNetwork


def load_pretrained(network: VoxelNetwork, path: str | os.PathLike) -> None:
    """Start from a masked autoencoder of grids; what the network has beside it keeps its initial weights.

    Args:
        network: of the same sizes.
        path: a checkpoint of ours or an official one.

    Raises:
        CheckpointError: the file cannot be read, is none of NeRF-MAE, or shapes differ.
    """
    from dense3d.checkpoints.nerf_mae import convert, unwrapped
    from dense3d.engine.checkpoint import load_checkpoint
    from dense3d.engine.differences import load_into

    state = unwrapped(load_checkpoint(path))
    if "encoder.patch_embed.proj.weight" not in state:
        state = convert(state)
    for part in ("encoder", "decoder"):
        module, prefix = getattr(network, part, None), f"{part}."
        weights = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        if module is None:  # the plain decoder has another shape: the encoder alone
            continue
        if not weights:
            raise CheckpointError(f"{path} has no {part} of NeRF-MAE")
        load_into(module, weights, source=str(path))

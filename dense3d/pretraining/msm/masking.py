"""Which voxels of scenes are hidden: whole blocks, the voxels of the coarsest level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def hidden_blocks(scene: Tensor, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Hide random blocks of each scene: ``round(ratio * n)`` of n, at least one, and never all.

    Args:
        scene: ``(V,)`` int64 ascending, the scene of each block.
        ratio: share of a scene's blocks that is hidden.
        generator: on the CPU; PyTorch's global one unless given.

    Returns:
        ``(V,)`` bool, true for hidden. A scene of a single block keeps it.

    Example:
        >>> hidden = hidden_blocks(torch.tensor([0, 0, 0, 0, 1]), 0.5)
        >>> int(hidden[:4].sum()), bool(hidden[4])
        (2, False)
    """
    counts = scene.bincount()
    wanted = (ratio * counts).round().long().clamp(min=1).minimum(counts - 1)
    draw = torch.rand(len(scene), generator=generator, dtype=torch.float64).to(scene.device)
    order = (scene.double() + draw).argsort()  # by scene, at random within it
    rank = torch.arange(len(scene), device=scene.device) - (counts.cumsum(0) - counts)[scene]
    return torch.zeros_like(scene, dtype=torch.bool).index_put((order,), rank < wanted[scene])


def hidden_voxels(blocks: Tensor, parents: Sequence[Tensor]) -> list[Tensor]:
    """What is hidden at all levels: every voxel within a hidden block.

    Args:
        blocks: ``(V_L,)`` bool of the coarsest level.
        parents: for each finer level, finest first, ``(V_l,)`` int64: the voxel of the next coarser level.

    Returns:
        ``(V_l,)`` bool of each level, finest first.

    Example:
        >>> hidden_voxels(torch.tensor([True, False]), [torch.tensor([0, 0, 1])])[0].tolist()
        [True, True, False]
    """
    levels = [blocks]
    for parent in reversed(parents):
        levels.insert(0, levels[0][parent])
    return levels

"""Which patches of a cloud are hidden."""

from __future__ import annotations

import random as python_random

import numpy as np
import torch
from torch import Tensor


def random_patch_mask(
    num_samples: int, num_patches: int, ratio: float, random: np.random.RandomState | None = None
) -> Tensor:
    """Hide ``int(ratio * G)`` random patches of each sample, as Point-MAE's official code draws them.

    Args:
        num_samples: B.
        num_patches: G.
        ratio: part of the patches that is hidden.
        random: NumPy's global generator unless given.

    Returns:
        ``(B, G)`` bool on the CPU, true for hidden.

    Example:
        >>> random_patch_mask(2, 10, 0.6).sum(dim=1).tolist()
        [6, 6]
    """
    hidden = int(ratio * num_patches)
    masks = np.zeros((num_samples, num_patches), dtype=bool)
    masks[:, num_patches - hidden :] = True
    for mask in masks:  # one after the other, for the official stream of random numbers
        (random or np.random).shuffle(mask)
    return torch.from_numpy(masks)


def block_mask(centres: Tensor, ratio: float, seeds: Tensor | None = None) -> Tensor:
    """Hide the ``int(ratio * G)`` patches that are nearest to a patch, itself included.

    Args:
        centres: ``(B, G, 3)``.
        ratio: part of the patches that is hidden.
        seeds: ``(B,)``, the patch in the middle of what is hidden; drawn by Python's generator unless given.

    Returns:
        ``(B, G)`` bool, true for hidden.

    Example:
        >>> centres = torch.tensor([[0.0, 3, 1, 9]])[..., None].expand(-1, -1, 3)
        >>> block_mask(centres, 0.5, torch.tensor([2])).tolist()
        [[True, False, True, False]]
    """
    batch, groups = centres.shape[:2]
    if seeds is None:
        seeds = torch.tensor([python_random.randint(0, groups - 1) for _ in range(batch)])
    seeds = seeds.to(centres.device)
    middle = centres[torch.arange(batch, device=centres.device), seeds]  # (B, 3)
    nearest = (centres - middle[:, None]).norm(dim=2).argsort(dim=1)[:, : int(ratio * groups)]
    mask = torch.zeros(batch, groups, dtype=torch.bool, device=centres.device)
    return mask.scatter(1, nearest, torch.ones_like(nearest, dtype=torch.bool))

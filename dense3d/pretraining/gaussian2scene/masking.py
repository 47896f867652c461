"""Which patches of a photograph are hidden, given which groups of the cloud are.

PiMAE (Chen et al., CVPR 2023) projects the centres of hidden groups into the image. With ``"complement"``
the patches that they fall into stay visible, so that each sense shows what the other lacks; with
``"uniform"`` they are hidden as well. The released configuration says complement and draws at random, as the
number 0 of its option is taken for false: that is ``"random"`` here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

IMAGE_MASKS = ("random", "uniform", "complement")


class PatchMask(NamedTuple):
    """Hidden and visible patches of B images with L patches each.

    Attributes:
        kept: ``(B, K)``, the visible patches in the order in which the encoder gets them.
        restore: ``(B, L)``, the place of each patch in the order visible ones first.
        hidden: ``(B, L)`` bool.
    """

    kept: Tensor
    restore: Tensor
    hidden: Tensor


def visible_count(patches: int, ratio: float) -> int:
    """How many of so many patches stay visible: ``ceil(L (1 - ratio))``.

    Example:
        >>> visible_count(352, 0.6)
        141
    """
    return math.ceil(patches * (1 - ratio))


def mask_of_order(order: Tensor, ratio: float) -> PatchMask:
    """The mask that leaves the first patches of an order ``(B, L)`` visible.

    Example:
        >>> mask_of_order(torch.tensor([[2, 0, 1]]), 0.5).hidden.tolist()
        [[False, True, False]]
    """
    kept = visible_count(order.shape[1], ratio)
    restore = order.argsort(dim=1)
    return PatchMask(order[:, :kept], restore, restore >= kept)


def patch_order(mode: str, touched: Tensor, noise: Tensor) -> Tensor:
    """Patches in the order in which they are to be left visible.

    Args:
        mode: one of :data:`IMAGE_MASKS`.
        touched: ``(B, L)`` bool, patches that the centre of a hidden group falls into.
        noise: ``(B, L)``, uniform in 0..1.

    Returns:
        ``(B, L)``, a permutation of the patches of each image.

    Example:
        >>> touched, noise = torch.tensor([[True, False, False]]), torch.tensor([[0.5, 0.2, 0.9]])
        >>> [patch_order(mode, touched, noise).tolist()[0] for mode in IMAGE_MASKS]
        [[1, 0, 2], [1, 2, 0], [0, 2, 1]]
    """
    if mode == "random":
        return noise.argsort(dim=1)
    return (touched.to(noise.dtype) + noise / 2).argsort(dim=1, descending=mode == "complement")


def touched_patches(indices: Tensor, seen: Tensor, patches: int) -> Tensor:
    """``(B, L)`` bool: which of L patches hold one of the points ``(B, N)`` that are seen.

    Points outside the image, for which the official code has no rule, touch none.

    Example:
        >>> touched_patches(torch.tensor([[1, 99]]), torch.tensor([[True, False]]), 3).tolist()
        [[False, True, False]]
    """
    counts = indices.new_zeros(len(indices), patches)
    counts.scatter_add_(1, torch.where(seen, indices, 0).clamp(0, patches - 1), seen.to(counts.dtype))
    return counts > 0

"""Images as vectors of their patches: what masked image models are to predict, and their loss.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022; Weinzaepfel et al., "CroCo", NeurIPS
2022.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.layers.patch_embed import Grid

EPS = 1e-6  # of a patch's variance


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """``(B, C, H, W)`` to vectors ``(B, h * w, p * p * C)`` ordered by row, column, channel within a patch.

    Example:
        >>> patchify(torch.zeros(1, 3, 32, 48), 16).shape
        torch.Size([1, 6, 768])
    """
    x = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))  # (B, C, h, p, w, p)
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, grid: Grid, patch_size: int) -> Tensor:
    """Undo :func:`patchify`.

    Example:
        >>> images = torch.randn(1, 3, 32, 48)
        >>> torch.equal(unpatchify(patchify(images, 16), (2, 3), 16), images)
        True
    """
    x = patches.unflatten(2, (patch_size, patch_size, -1)).unflatten(1, grid)  # (B, h, w, p, p, C)
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def normalised_patches(patches: Tensor) -> Tensor:
    """Each vector ``(..., V)`` less its mean, over the root of its unbiased variance.

    Example:
        >>> normalised_patches(torch.tensor([1.0, 2.0, 3.0])).round(decimals=3).tolist()
        [-1.0, 0.0, 1.0]
    """
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) / (variance + EPS).sqrt()


def denormalised_patches(predicted: Tensor, patches: Tensor) -> Tensor:
    """Predictions ``(..., V)`` of normalised patches with mean and variance of the true ``patches``.

    Example:
        >>> patches = torch.tensor([[1.0, 2.0, 3.0]])
        >>> denormalised_patches(normalised_patches(patches), patches).round(decimals=3).tolist()
        [[1.0, 2.0, 3.0]]
    """
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return predicted * (variance + EPS).sqrt() + mean


def patch_loss(predicted: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared error averaged over a patch, then over the masked patches of the batch, or over all.

    Args:
        predicted, targets: ``(B, N, V)``.
        mask: ``(B, N)``, 1 or true for those that count; None for all.

    Example:
        >>> ones, zeros = torch.ones(1, 2, 3), torch.zeros(1, 2, 3)
        >>> patch_loss(ones * torch.tensor([[[1.0], [3.0]]]), zeros, torch.tensor([[0, 1]]))
        tensor(9.)
    """
    error = (predicted - targets).square().mean(dim=-1)  # (B, N)
    if mask is None:
        return error.mean()
    mask = mask.to(error.dtype)
    return (error * mask).sum() / mask.sum()


def paint(
    images: Tensor, predicted: Tensor, mask: Tensor, patch_size: int, normalised: bool
) -> tuple[Tensor, Tensor]:
    """Images ``(B, C, H, W)`` without the masked patches, and with predicted ones in their place.

    Args:
        images: what the patches were cut from.
        predicted: ``(B, N, p * p * C)``.
        mask: ``(B, N)``, 1 or true for hidden.
        patch_size: p.
        normalised: whether normalised patches were predicted; then they get the true mean and variance back,
            as in the official demonstrations.
    """
    grid = (images.shape[-2] // patch_size, images.shape[-1] // patch_size)
    patches = patchify(images, patch_size)
    if normalised:
        predicted = denormalised_patches(predicted, patches)
    hidden = mask[..., None] > 0
    masked = torch.where(hidden, torch.zeros_like(patches), patches)
    painted = torch.where(hidden, predicted.to(patches.dtype), patches)
    return unpatchify(masked, grid, patch_size), unpatchify(painted, grid, patch_size)

"""Random masking of tokens, and images as vectors of their patches."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.layers.patch_embed import Grid


def random_masking(
    tokens: Tensor, ratio: float, noise: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep a random part of each sample's tokens, as MAE's official code draws it.

    Args:
        tokens: ``(B, N, D)``.
        ratio: part that is removed; ``int(N * (1 - ratio))`` tokens stay.
        noise: ``(B, N)``, the tokens with the least stay, in ascending order; uniform unless given.

    Returns:
        the kept tokens ``(B, K, D)``; the mask ``(B, N)``, 1 for removed; and ``ids_restore`` ``(B, N)``, the
        place of each token in the shuffled order, of which the first K are kept.

    Example:
        >>> tokens, noise = torch.arange(4.0).view(1, 4, 1), torch.tensor([[3.0, 0, 2, 1]])
        >>> kept, mask, restore = random_masking(tokens, 0.5, noise)
        >>> kept.flatten().tolist(), mask.tolist(), restore.tolist()
        ([1.0, 3.0], [[1.0, 0.0, 1.0, 0.0]], [[3, 0, 2, 1]])
    """
    batch, count, dim = tokens.shape
    if noise is None:
        noise = torch.rand(batch, count, device=tokens.device)
    shuffled = noise.argsort(dim=1)
    restore = shuffled.argsort(dim=1)
    keep = int(count * (1 - ratio))
    kept = tokens.gather(1, shuffled[:, :keep, None].expand(-1, -1, dim))
    return kept, (restore >= keep).to(tokens.dtype), restore


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

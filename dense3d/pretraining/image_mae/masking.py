"""Random masking of tokens."""

from __future__ import annotations

import torch
from torch import Tensor


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

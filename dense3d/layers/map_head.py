"""From a map to logits of the image's class, with a norm that sees the map."""

from __future__ import annotations

from torch import Tensor, nn


class NormedMapHead(nn.Module):
    """A norm of the map, the mean over its pixels, a linear layer.

    Batch norm (UniFormer) and group norm (PoolFormer) see more than one pixel, hence come before the mean.

    Args:
        norm: of maps ``(B, channels, h, w)``.
        channels: of the map.
        num_classes: of the logits.

    Shape:
        ``(B, channels, h, w)`` to ``(B, num_classes)``.

    Example:
        >>> import torch
        >>> NormedMapHead(nn.GroupNorm(1, 8), 8, 3)(torch.zeros(2, 8, 4, 5)).shape
        torch.Size([2, 3])
    """

    def __init__(self, norm: nn.Module, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = norm
        self.head = nn.Linear(channels, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of maps."""
        return self.head(self.norm(x).mean(dim=(2, 3)))

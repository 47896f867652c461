"""Classifier that widens the last map before it is averaged, as RMT and PPMA have it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ProjectedClassifier(nn.Module):
    """Linear layer, batch norm and swish of every pixel, their mean, and a linear layer to the classes.

    With token labels (Jiang et al., "All Tokens Matter", NeurIPS 2021), a second linear layer scores every
    pixel of the map as it is, and half of the best score of each class is added.

    Args:
        dim: channels of the map.
        num_classes: number of classes.
        hidden_dim: channels of the widened map.
        token_labels: whether pixels are scored as well.

    Shape:
        ``(B, dim, h, w)`` to logits ``(B, num_classes)``.

    Example:
        >>> import torch
        >>> ProjectedClassifier(8, 5, hidden_dim=16)(torch.zeros(2, 8, 3, 4)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, dim: int, num_classes: int, hidden_dim: int = 1024, token_labels: bool = False
    ) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, hidden_dim)
        self.norm = nn.BatchNorm1d(hidden_dim)
        self.head = nn.Linear(hidden_dim, num_classes)
        self.aux_head = nn.Linear(dim, num_classes) if token_labels else None
        for layer in filter(None, (self.proj, self.head, self.aux_head)):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a map."""
        pixels = x.flatten(2).transpose(1, 2)  # (B, N, dim)
        wide = F.silu(self.norm(self.proj(pixels).transpose(1, 2)))  # (B, hidden_dim, N)
        logits = self.head(wide.mean(dim=2))
        return logits if self.aux_head is None else logits + 0.5 * self.aux_head(pixels).amax(dim=1)

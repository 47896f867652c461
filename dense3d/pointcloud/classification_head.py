"""From the tokens of a cloud to scores of its class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def cloud_feature(tokens: Tensor) -> Tensor:
    """The class token and the maximum over the other tokens: ``(B, 1 + G, C)`` to ``(B, 2 C)``."""
    return torch.cat([tokens[:, 0], tokens[:, 1:].max(dim=1).values], dim=1)


class ClassificationHead(nn.Module):
    """Linear layers, each but the last with batch norm, ReLU and dropout.

    Args:
        in_channels: of the feature.
        num_classes: of the scores.
        hidden_channels: of the layers between; none of them for a linear classifier.
        dropout: share of the hidden values that is dropped in training.

    Shape:
        ``(B, in_channels)`` to logits ``(B, num_classes)``.

    Example:
        >>> ClassificationHead(8, 3, hidden_channels=(4,)).eval()(torch.zeros(2, 8)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: Sequence[int] = (256, 256),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(dropout))
            for a, b in pairwise((in_channels, *hidden_channels))
        )
        self.classify = nn.Linear((in_channels, *hidden_channels)[-1], num_classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Logits of features."""
        for layer in self.hidden:
            feature = layer(feature)
        return self.classify(feature)

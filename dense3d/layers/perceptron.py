"""Perceptron of any depth, as the DETR family has it in heads and position encodings."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class Perceptron(nn.Module):
    """Linear layers with a ReLU between them; weights Xavier-uniform, biases zero at first.

    Args:
        in_channels: channels of the input.
        hidden_channels: channels between the layers.
        out_channels: channels of the output.
        num_layers: linear layers.

    Shape:
        ``(..., in_channels)`` to ``(..., out_channels)``.

    Example:
        >>> import torch
        >>> Perceptron(8, 16, 4, num_layers=3)(torch.rand(2, 5, 8)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, num_layers: int):
        super().__init__()
        channels = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(channels))
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)

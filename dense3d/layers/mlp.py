"""Linear layers one after the other: the MLP of heads, feed-forward networks of transformer blocks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with a ReLU between them, as the DETR family has them in heads and position encodings.

    Weights are Xavier-uniform and biases zero at first.

    Args:
        in_channels: channels of the input.
        hidden_channels: channels between the layers.
        out_channels: channels of the output.
        num_layers: linear layers.

    Shape:
        ``(..., in_channels)`` to ``(..., out_channels)``.

    Example:
        >>> MLP(8, 16, 4, num_layers=3)(torch.rand(2, 5, 8)).shape
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


class FeedForward(nn.Module):
    """Feed-forward network of a transformer block: linear, activation, linear.

    Args:
        dim: input channels.
        hidden_dim: channels between the two layers.
        out_dim: output channels; ``dim`` unless given.
        bias: whether the layers have biases.
        activation: the exact GELU unless given.

    Shape:
        ``(..., dim)`` to ``(..., out_dim)``.

    Example:
        >>> FeedForward(8, 32)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        out_dim: int | None = None,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] = F.gelu,
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim, bias=bias)
        self.fc2 = nn.Linear(hidden_dim, out_dim or dim, bias=bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """``fc2(activation(fc1(x)))``."""
        return self.fc2(self.activation(self.fc1(x)))


def quick_gelu(x: Tensor) -> Tensor:
    """``x * sigmoid(1.702 x)``, Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.

    Example:
        >>> quick_gelu(torch.tensor([0.0, 10.0])).round(decimals=3).tolist()
        [0.0, 10.0]
    """
    return x * torch.sigmoid(1.702 * x)


def tanh_gelu(x: Tensor) -> Tensor:
    """The approximation of the GELU by a tanh.

    Example:
        >>> tanh_gelu(torch.tensor([0.0, 10.0])).tolist()
        [0.0, 10.0]
    """
    return F.gelu(x, approximate="tanh")


class SwiGlu(nn.Module):
    """Gated feed-forward network ``w3(silu(w1 x) * w2 x)``.

    Shazeer, "GLU Variants Improve Transformer", 2020, eq. 6.

    Args:
        dim: input and output channels.
        hidden_dim: channels of the gate; :func:`swiglu_hidden_dim` gives the released models' width.
        bias: whether the layers have biases.

    Shape:
        ``(..., dim)`` to the same.

    Example:
        >>> SwiGlu(8, swiglu_hidden_dim(8, 6))(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, hidden_dim: int, bias: bool = True) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, hidden_dim, bias=bias)
        self.w2 = nn.Linear(dim, hidden_dim, bias=bias)
        self.w3 = nn.Linear(hidden_dim, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``w3(silu(w1 x) * w2 x)``."""
        return self.w3(F.silu(self.w1(x)) * self.w2(x))


def swiglu_hidden_dim(dim: int, ratio: float, multiple: int = 8) -> int:
    """Width of a gated network with about as many weights as an ungated one of ``ratio * dim``.

    Two thirds of that width, rounded up to a multiple, as in DINOv2 and DINOv3.

    Example:
        >>> swiglu_hidden_dim(1536, 4), swiglu_hidden_dim(4096, 3, multiple=64)
        (4096, 8192)
    """
    width = int(int(dim * ratio) * 2 / 3)
    return -(-width // multiple) * multiple

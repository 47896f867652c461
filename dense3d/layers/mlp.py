"""Feed-forward networks of transformer blocks: two linear layers, or three with a gate."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """Linear, exact GELU, linear.

    Args:
        dim: input channels.
        hidden_dim: channels between the two layers.
        out_dim: output channels; ``dim`` unless given.
        bias: whether the layers have biases.

    Shape:
        ``(..., dim)`` to ``(..., out_dim)``.

    Example:
        >>> import torch
        >>> Mlp(8, 32)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, hidden_dim: int, out_dim: int | None = None, bias: bool = True) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim, bias=bias)
        self.fc2 = nn.Linear(hidden_dim, out_dim or dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``fc2(gelu(fc1(x)))``."""
        return self.fc2(F.gelu(self.fc1(x)))


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
        >>> import torch
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

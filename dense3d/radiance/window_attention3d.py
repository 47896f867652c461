"""Attention within shifted windows of a volume of tokens.

Liu et al., "Swin Transformer", ICCV 2021, in three dimensions as NeRF-RPN (arXiv:2211.11646) has it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.window_attention import MASKED
from dense3d.errors import ConfigError
from dense3d.layers.attention import biased_attention

Sides = tuple[int, int, int]
PATHS = ("fused", "reference")


class WindowAttention3D(nn.Module):
    """Multi-head attention within windows of a volume, which odd blocks shift by half a window.

    The volume is padded at the end of each axis to whole windows. What was padded takes part: its keys are
    the bias of the projection, as in the official code. Along an axis that fits into one window nothing is
    shifted.

    Args:
        dim: channels.
        num_heads: attention heads, a divisor of ``dim``.
        window_size: tokens of a window along each axis.
        shifted: whether windows are shifted by half their size.
        qkv_bias, proj_bias: whether the projections have biases.
        attention_dropout: of the attention's weights, in training. The official code drops in evaluation too
            where this is not 0, as it is in every config of its authors.
        dropout: of the result, in training (the same remark).
        path: ``"fused"``, PyTorch's fused attention where it is the quicker; ``"reference"``, the official
            arithmetic step by step, which keeps all weights of all windows.

    Shape:
        ``(B, X, Y, Z, C)`` -> the same.

    Raises:
        ConfigError: heads that do not divide the channels, or an unknown path.

    Example:
        >>> WindowAttention3D(8, 2, (4, 4, 4), shifted=True)(torch.zeros(1, 5, 9, 3, 8)).shape
        torch.Size([1, 5, 9, 3, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Sequence[int],
        shifted: bool = False,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
        path: str = "fused",
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be split into {num_heads} heads of attention")
        if path not in PATHS:
            raise ConfigError(f"attention={path!r}: use one of {', '.join(map(repr, PATHS))}")
        self.num_heads, self.window_size, self.shifted, self.path = (
            num_heads,
            tuple(window_size),
            shifted,
            path,
        )
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        x, y, z = self.window_size
        table = torch.empty((2 * x - 1) * (2 * y - 1) * (2 * z - 1), num_heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        index = relative_index(self.window_size)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, X, Y, Z, C)`` -> ``(B, X, Y, Z, C)``."""
        sides, window = x.shape[1:4], self.window_size
        x = F.pad(x, (0, 0, *(n for side, w in zip(sides[::-1], window[::-1]) for n in (0, -side % w))))
        padded = x.shape[1:4]
        shift = tuple(w // 2 if self.shifted and side > w else 0 for side, w in zip(padded, window))
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        if any(shift):
            x = torch.roll(x, tuple(-s for s in shift), (1, 2, 3))
            mask = shift_mask(tuple(padded), window, shift, x.device)
            bias = bias + mask[:, None].to(bias.dtype)  # (windows, heads, N, N)
        x = from_windows(self._attend(to_windows(x, window), bias), tuple(padded), window)
        if any(shift):
            x = torch.roll(x, shift, (1, 2, 3))
        x = x[:, : sides[0], : sides[1], : sides[2]]
        return F.dropout(self.proj(x), self.dropout, self.training)

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        """``(B, windows, N, C)`` with a bias ``(windows or 1, heads, N, N)``."""
        batch, windows, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, windows, tokens, 3, self.num_heads, -1)
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)  # each (B, windows, heads, N, head_dim)
        dropout = self.attention_dropout if self.training else 0.0
        if self.path == "reference":
            out = attention_reference(query, key, value, bias, dropout)
        else:
            # windows with a bias of their own stand beside the heads: it is then not repeated over the batch
            group = (-1, bias.shape[0] * self.num_heads, tokens, dim // self.num_heads)
            out = biased_attention(
                query.reshape(group),
                key.reshape(group),
                value.reshape(group),
                bias.reshape(1, *group[1:3], tokens),
                dropout,
            ).reshape(query.shape)
        return out.transpose(2, 3).reshape(x.shape)


def attention_reference(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float = 0.0
) -> Tensor:
    """``softmax(query key' / sqrt(d) + bias) value`` with every weight of every window in memory.

    Args:
        query, key, value: ``(B, windows, heads, N, d)``.
        bias: ``(windows or 1, heads, N, N)``.
        dropout: share of the weights that is dropped.
    """
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1) + bias.to(query.dtype)
    return F.dropout(weights.softmax(-1), dropout) @ value


def relative_index(window: Sequence[int]) -> Tensor:
    """``(N, N)`` row of the table for each query and key of a window of N tokens, the first axis slowest.

    Example:
        >>> relative_index((1, 1, 2)).tolist()
        [[1, 0], [2, 1]]
    """
    axes = [torch.arange(side, device="cpu") for side in window]
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)  # (3, N)
    x, y, z = cells[:, :, None] - cells[:, None, :] + torch.tensor(window, device="cpu").view(3, 1, 1) - 1
    return (x * (2 * window[1] - 1) + y) * (2 * window[2] - 1) + z


def shift_mask(sides: Sides, window: Sides, shift: Sides, device: torch.device | str) -> Tensor:
    """What keeps tokens apart that a cyclic shift brought into one window though they are no neighbours.

    Args:
        sides: of the volume, whole windows.
        window: tokens of a window along each axis.
        shift: by how much the volume was rolled towards its start; 0 where an axis was not.
        device: of the result.

    Returns:
        ``(windows, N, N)``: 0 within a region, -100 between two.

    Example:
        >>> shift_mask((4, 1, 2), (2, 1, 2), (1, 0, 0), "cpu")[:, 0].tolist()
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -100.0, -100.0]]
    """
    parts = []
    for side, length, by in zip(sides, window, shift):
        place = torch.arange(side, device=device)
        parts.append((place >= side - length).long() + ((place >= side - by) & (by > 0)).long())
    region = (3 * parts[0][:, None, None] + parts[1][:, None]) * 3 + parts[2]  # (X, Y, Z)
    region = to_windows(region[None, ..., None], window)[0, ..., 0]  # (windows, N)
    apart = region[:, :, None] != region[:, None, :]
    return torch.zeros(apart.shape, device=device).masked_fill(apart, MASKED)


def to_windows(x: Tensor, window: Sides) -> Tensor:
    """``(B, X, Y, Z, C)`` of whole windows to ``(B, windows, N, C)``, the first axis slowest."""
    a, b, c = window
    x = x.unflatten(3, (-1, c)).unflatten(2, (-1, b)).unflatten(1, (-1, a))  # (B, X', a, Y', b, Z', c, C)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(1, 3)


def from_windows(windows: Tensor, sides: Sides, window: Sides) -> Tensor:
    """Undo :func:`to_windows` for a volume of ``sides``."""
    count = [side // length for side, length in zip(sides, window)]
    x = windows.unflatten(2, window).unflatten(1, count)  # (B, X', Y', Z', a, b, c, C)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(len(x), *sides, -1)

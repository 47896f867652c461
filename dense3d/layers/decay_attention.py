"""Attention of a map whose logits fall with distance: the steps that RMT and PPMA share.

Fan et al., "RMT: Retentive Networks Meet Vision Transformers", CVPR 2024 (arXiv:2309.11523); Zhao et al.,
"Polyline Path Masked Attention for Vision Transformer", 2025. Both project a channels-last map to queries,
keys and values, turn queries and keys by their flat index, add a log mask to the logits and a depthwise
convolution of the values to the result. At high resolution, attention runs inside rows and columns; otherwise
over the whole map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.errors import ConfigError
from dense3d.layers.attention import biased_attention
from dense3d.layers.depthwise_mlp import DepthwiseConv
from dense3d.layers.patch_embed import Grid
from dense3d.layers.rotary import Rotation, rotate

MOST_LOGITS = 2**26  # of one image in one pass over a whole map; more are computed rows by rows


def flat_rotation(grid: Grid, head_dim: int, device: torch.device | str | None = None) -> Rotation:
    """Rotations by the index ``y * w + x`` of a token, hence not the same for maps of different widths.

    Channels k and k + d / 2 turn by ``index * 10000 ** (-k / (d / 2 - 1))``: from 1 down to 1e-4, both ends
    included. In float32 whatever the dtype of the model is.

    Args:
        grid: rows and columns.
        head_dim: d, channels of a head, even.
        device: where to compute.

    Returns:
        sines and cosines ``(h * w, 1, d)``, for :func:`dense3d.layers.rotary.rotate` of ``(B, h * w, M, d)``.

    Example:
        >>> sin, cos = flat_rotation((2, 3), 4)
        >>> sin.shape, round(float(sin[1, 0, 0]), 4)
        (torch.Size([6, 1, 4]), 0.8415)
    """
    frequencies = 1.0 / 10000.0 ** torch.linspace(0, 1, head_dim // 2, device=device)
    angles = torch.arange(grid[0] * grid[1], device=device)[:, None, None] * frequencies  # (N, 1, d / 2)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.sin(), angles.cos()


class DecayAttention(nn.Module):
    """Projections, rotation and local enhancement around :meth:`attend`, which a family supplies.

    Args:
        dim: channels C of a token.
        num_heads: M, a divisor of ``dim`` that leaves an even number of channels to each head.

    Shape:
        map ``(B, h, w, dim)`` to the same.

    Raises:
        ConfigError: the heads do not divide the channels, or have an odd number of them.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or dim % (2 * num_heads):
            raise ConfigError(
                f"{dim} channels cannot be shared by {num_heads} heads of an even number of channels, which "
                "rotary embedding needs; choose a multiple"
            )
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.lepe = DepthwiseConv(dim, 5)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, rotation: Rotation, *masks: Any) -> Tensor:
        """Attention of a map with itself.

        Args:
            x: ``(B, h, w, dim)``.
            rotation: see :func:`flat_rotation`.
            masks: what a stage of the family has computed for all its blocks.
        """
        grid = x.shape[1:3]
        query, key, value = self.qkv(x).chunk(3, dim=-1)  # (B, h, w, C)
        local = self.lepe(value)
        query, key = (self._turned(part, rotation) for part in (query, key))
        value = value.unflatten(-1, (self.num_heads, -1))  # (B, h, w, M, d)
        attended = self.attend(x, query.unflatten(1, grid), key.unflatten(1, grid), value, *masks)
        return self.proj(attended.flatten(3) + local)

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, *masks: Any) -> Tensor:
        """Masked attention of heads ``(B, h, w, M, d)``; ``x`` is what they were projected from."""
        raise NotImplementedError

    def _turned(self, part: Tensor, rotation: Rotation) -> Tensor:
        return rotate(part.flatten(1, 2).unflatten(-1, (self.num_heads, -1)), rotation)  # (B, N, M, d)


def row_weights(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """Softmax weights inside each row of a map, for values that need them several times.

    Args:
        query, key: heads ``(B, h, w, M, d)``.
        mask: added to the logits, ``(B, h, M, w, w)``.

    Returns:
        ``(B, h, M, w, w)``, in the dtype of the queries.

    Example:
        >>> x = torch.zeros(1, 2, 4, 1, 4)
        >>> row_weights(x, x, torch.zeros(1, 2, 1, 4, 4))[0, 0, 0, 0].tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    query, key = (query * query.shape[-1] ** -0.5).transpose(2, 3), key.transpose(2, 3)  # (B, h, M, w, d)
    return (query @ key.transpose(-2, -1) + mask).softmax(-1).to(query.dtype)


def row_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention inside each row of a map.

    Args:
        query, key, value: heads ``(B, h, w, M, d)``.
        mask: added to the logits, ``(M, w, w)``, or ``(B, h, M, w, w)`` for a mask of each row.

    Returns:
        ``(B, h, w, M, d)``.

    Example:
        >>> x = torch.zeros(1, 2, 3, 1, 4)
        >>> row_attention(x, x, torch.ones_like(x), torch.zeros(1, 3, 3)).mean()
        tensor(1.)
    """
    mask = mask[None] if mask.dim() == 3 else mask.flatten(0, 1)
    rows = (part.transpose(2, 3).flatten(0, 1) for part in (query, key, value))  # (B * h, M, w, d)
    return biased_attention(*rows, mask).unflatten(0, query.shape[:2]).transpose(2, 3)


def column_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention inside each column: :func:`row_attention` of the transposed map.

    Args:
        query, key, value: heads ``(B, h, w, M, d)``.
        mask: ``(M, h, h)``, or ``(B, w, M, h, h)`` for a mask of each column.
    """
    columns = (part.transpose(1, 2) for part in (query, key, value))
    return row_attention(*columns, mask).transpose(1, 2)


MaskOfRows = Callable[[slice, torch.dtype], Tensor]


def whole_attention(query: Tensor, key: Tensor, value: Tensor, *mask_of: MaskOfRows) -> Tensor:
    """Softmax attention over the whole map, with a mask that is made for some rows of queries at a time.

    Of several masks, each has a softmax of its own, and the weights are averaged.

    A mask of all pairs of tokens grows with the fourth power of the side of the map. Above ``MOST_LOGITS``
    logits an image, rows of queries are computed one group after another and, where gradients are wanted,
    again in the backward pass, so that one group's mask is in memory.

    Args:
        query, key, value: heads ``(B, h, w, M, d)``.
        mask_of: one or several; gives, for a slice of the rows and in a dtype, what is added to the logits of
            their queries: ``(1 or B, M, rows * w, h * w)``.

    Returns:
        ``(B, h, w, M, d)``.

    Example:
        >>> x = torch.zeros(1, 2, 3, 1, 4)
        >>> whole_attention(x, x, torch.ones_like(x), lambda rows, dtype: torch.zeros(1, 1, 6, 6)).mean()
        tensor(1.)
    """
    _, height, width, heads, _ = query.shape
    key, value = (part.flatten(1, 2).transpose(1, 2) for part in (key, value))  # (B, M, N, d)
    step = max(1, MOST_LOGITS // (heads * height * width * width))

    def attend(queries: Tensor, keys: Tensor, values: Tensor, rows: slice) -> Tensor:
        heads_first = queries.flatten(1, 2).transpose(1, 2)
        masks = (make(rows, queries.dtype) for make in mask_of)
        if len(mask_of) == 1:
            return biased_attention(heads_first, keys, values, next(masks)).transpose(1, 2)
        logits = heads_first * queries.shape[-1] ** -0.5 @ keys.transpose(2, 3)
        weights = sum((logits + mask).softmax(-1).to(values.dtype) for mask in masks) / len(mask_of)
        return (weights @ values).transpose(1, 2)

    if step >= height:
        return attend(query, key, value, slice(0, height)).unflatten(1, (height, width))
    recompute = torch.is_grad_enabled() and query.requires_grad
    groups = []
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        inputs = (query[:, rows], key, value, rows)
        groups.append(checkpoint(attend, *inputs, use_reentrant=False) if recompute else attend(*inputs))
    return torch.cat(groups, dim=1).unflatten(1, (height, width))

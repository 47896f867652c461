"""PPMA: attention whose logits fall along L-shaped paths, by decays that every token gives itself.

Zhao et al., "Polyline Path Masked Attention for Vision Transformer", 2025; official code: zhongchenzhao/PPMA.
The decays of Mamba-2 (Dao and Gu, "Transformers are SSMs", ICML 2024), summed along a row and then along a
column, mask the pyramid of RMT. Masks of whole maps, which the official code keeps for all pairs of tokens,
are made by groups of rows where maps are large; the numbers are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.decay_pyramid import DecayPyramid
from dense3d.backbones.stage_sizes import stage_sizes
from dense3d.layers.decay_attention import DecayAttention, row_weights, whole_attention
from dense3d.registry import MODELS

_SMALL_STAGES = dict(dims=(64, 128, 256, 512), num_heads=(4, 4, 8, 16))

# Released sizes.
ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(depths=(2, 2, 8, 2), mlp_ratios=3, criss_cross=(True, True, False, False), **_SMALL_STAGES),
    "small": dict(
        depths=(3, 4, 18, 4),
        mlp_ratios=(4, 4, 3, 3),
        criss_cross=(True, True, True, False),
        **_SMALL_STAGES,
    ),
    "base": dict(
        dims=(80, 160, 320, 512),
        depths=(4, 8, 25, 8),
        num_heads=(5, 5, 10, 16),
        mlp_ratios=(4, 4, 3, 3),
        criss_cross=(True, True, True, False),
        layer_scale_stages=(False, False, True, True),
    ),
}
_DEFAULTS = dict(layer_scale_stages=False)


@MODELS.register_module()
class PPMA(DecayPyramid):
    """PPMA-ViT, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (``"tiny"``, ``"small"``, ``"base"``), or a dict with, one value a stage or one
            for all, ``dims``, ``depths``, ``num_heads``, ``mlp_ratios``, ``criss_cross`` (attention inside
            rows and columns, in both orders, instead of over the whole map) and, where it differs,
            ``layer_scale_stages`` (False).
        layer_scale: initial layer scale of the stages that have one.
        drop_path_rate: rate of the last block; it grows linearly from 0. Released: 0.1 tiny, 0.15 small,
            0.4 base.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the
            down-sampling after a stage belongs to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, lists of different lengths, heads that do not divide the width,
            stages out of range.

    Example:
        >>> sizes = dict(depths=(1, 1), num_heads=2, mlp_ratios=3, criss_cross=(True, False))
        >>> backbone = PPMA(dict(dims=(8, 16), **sizes), out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    converters = ("ppma",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(
                dims=(16, 24, 32, 48),
                depths=(1, 1, 1, 1),
                num_heads=(2, 2, 4, 4),
                mlp_ratios=2,
                criss_cross=(True, True, False, False),
                layer_scale_stages=(False, False, False, True),
            ),
            layer_scale=1.0,
        )
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        layer_scale: float = 1e-6,
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = stage_sizes("PPMA", arch, ARCHITECTURES, _DEFAULTS)
        self.criss_cross = sizes["criss_cross"]
        super().__init__(
            sizes, layer_scale, drop_path_rate, in_channels, out_indices, frozen_stages, with_cp, init_cfg
        )
        self.freeze()

    def attention(self, dim: int, num_heads: int, stage: int) -> DecayAttention:
        """Attention inside rows and columns, or over the whole map."""
        return (CrissCrossAttention if self.criss_cross[stage] else PolylineAttention)(dim, num_heads)


class PathDecay(nn.Module):
    """What a step along a row and along a column takes from the logits, given by every token.

    One linear layer, the same for all heads, gives two numbers, which softplus and the head's own rate and
    bias turn into decays: ``-exp(A) * softplus(step + bias)``.

    Args:
        num_heads: M.
        head_dim: d, channels of a head.

    Shape:
        heads ``(B, h, w, M, d)`` to masks inside rows ``(B, h, M, w, w)`` and columns ``(B, w, M, h, h)``:
        minus the sum of the decays between two tokens, with that of the later one and without that of the
        earlier one. In float32 at least.

    Example:
        >>> across, down = PathDecay(2, 4)(torch.zeros(1, 3, 5, 2, 4))
        >>> across.shape, down.shape, float(across.diagonal(dim1=-2, dim2=-1).abs().max())
        (torch.Size([1, 3, 2, 5, 5]), torch.Size([1, 5, 2, 3, 3]), 0.0)
    """

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.dt_linear = nn.Linear(head_dim, 2, bias=False)
        self.A_log = nn.Parameter(torch.empty(num_heads).uniform_(1.0, 1.1).log())
        steps = torch.empty(num_heads).uniform_(math.log(1e-3), math.log(0.1)).exp()
        self.dt_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # inverse of softplus

    def forward(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Masks inside rows and inside columns."""
        steps = self.dt_linear(heads)  # (B, h, w, M, 2)
        steps = steps.to(torch.promote_types(steps.dtype, torch.float32))
        decays = self.A_log.exp()[:, None] * F.softplus(steps + self.dt_bias[:, None])
        across = decays[..., 0].cumsum(dim=2).transpose(2, 3)  # (B, h, M, w)
        down = decays[..., 1].cumsum(dim=1).permute(0, 2, 3, 1)  # (B, w, M, h)
        return tuple(-(sums[..., :, None] - sums[..., None, :]).abs() for sums in (across, down))


class _PathAttention(DecayAttention):
    """Attention that reads its masks from its input."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads)
        self.path_embed = PathDecay(num_heads, self.head_dim)

    def path_masks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Masks inside rows and columns of ``(B, h, w, dim)``, see :class:`PathDecay`."""
        return self.path_embed(x.unflatten(-1, (self.num_heads, -1)))


class CrissCrossAttention(_PathAttention):
    """Attention inside rows and then columns, and inside columns and then rows, averaged."""

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Heads ``(B, h, w, M, d)``."""
        across, down = (mask.to(query.dtype) for mask in self.path_masks(x))
        rows = row_weights(query, key, across)  # (B, h, M, w, w)
        columns = row_weights(query.transpose(1, 2), key.transpose(1, 2), down)  # (B, w, M, h, h)
        value = value.permute(0, 1, 3, 2, 4)  # (B, h, M, w, d)
        rows_first = columns @ (rows @ value).transpose(1, 3)  # (B, w, M, h, d)
        columns_first = rows @ (columns @ value.transpose(1, 3)).transpose(1, 3)  # (B, h, M, w, d)
        return ((rows_first.transpose(1, 3) + columns_first) / 2).transpose(2, 3)


class PolylineAttention(_PathAttention):
    """Attention over the whole map, averaged over the two L-shaped paths between two tokens."""

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Heads ``(B, h, w, M, d)``."""
        across, down = self.path_masks(x)

        def one_way(rows: slice, dtype: torch.dtype) -> Tensor:
            return polyline_mask(across, down, rows).to(dtype)

        def other_way(rows: slice, dtype: torch.dtype) -> Tensor:
            return polyline_mask(across, down, rows, along_key_row=True).to(dtype)

        return whole_attention(query, key, value, one_way, other_way)


def polyline_mask(across: Tensor, down: Tensor, rows: slice, along_key_row: bool = False) -> Tensor:
    """Log mask between the tokens of some rows and those of the whole map, along one of the two paths.

    From query (y, x) to key (y', x'), the path runs along row y and then column x'; or, the transposed mask,
    along column x and then row y'.

    Args:
        across: masks inside rows ``(B, h, M, w, w)``.
        down: masks inside columns ``(B, w, M, h, h)``.
        rows: rows of the queries.
        along_key_row: whether the path runs along the key's row.

    Returns:
        ``(B, M, rows * w, h * w)``.

    Example:
        >>> across, down = -torch.ones(1, 3, 2, 4, 4), -torch.ones(1, 4, 2, 3, 3)
        >>> polyline_mask(across, down, slice(0, 2)).shape
        torch.Size([1, 2, 8, 12])
    """
    if along_key_row:
        row_part = across.permute(0, 2, 3, 1, 4)[:, :, None]  # (B, M, 1, x, y', x')
        column_part = down.permute(0, 2, 3, 1, 4)[:, :, rows, :, :, None]  # (B, M, r, x, y', 1)
    else:
        row_part = across.transpose(1, 2)[:, :, rows, :, None]  # (B, M, r, x, 1, x')
        column_part = down.permute(0, 2, 3, 4, 1)[:, :, rows, None]  # (B, M, r, 1, y', x')
    return (row_part + column_part).flatten(4).flatten(2, 3)

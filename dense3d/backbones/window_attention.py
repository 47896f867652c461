"""Attention within shifted windows, for Swin V1 and V2.

Tables, coordinates and parameters are torchvision's; the forward pass runs on PyTorch's fused attention.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from dense3d.layers.attention import biased_attention

MASKED = -100.0  # the official code's value: finite, hence safe in half precision


class SwinAttention(ShiftedWindowAttention):
    """Multi-head attention within windows of a map, which odd blocks shift by half a window.

    The map is padded to whole windows and only then shifted; padded tokens are zeros that take part in the
    attention, as in the official code.

    Args:
        dim: channels.
        window_size: height and width of a window.
        shift_size: shift along the height and the width.
        num_heads: attention heads.
        qkv_bias, proj_bias, attention_dropout, dropout: as in torchvision.
        shift_small_maps: whether to shift along a side that fits into one window.
        qk_scale: factor of the products of queries and keys; ``head_dim ** -0.5`` unless given.

    Shape:
        ``(B, H, W, C)`` -> the same.
    """

    def __init__(self, *args, shift_small_maps: bool = True, qk_scale: float | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shift_small_maps, self.scale = shift_small_maps, qk_scale

    def define_relative_position_index(self) -> None:
        """torchvision's index, which follows from the window and is therefore kept out of checkpoints."""
        super().define_relative_position_index()
        self.register_buffer("relative_position_index", self.relative_position_index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, H, W, C)`` -> ``(B, H, W, C)``."""
        height, width = x.shape[1:3]
        (rows, columns), (shift_y, shift_x) = self.window_size, self.shift_size
        x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
        padded = x.shape[1:3]
        if not self.shift_small_maps:
            shift_y, shift_x = shift_y * (padded[0] > rows), shift_x * (padded[1] > columns)
        bias = self.get_relative_position_bias()  # (1, heads, N, N), N = rows * columns
        if shift_y or shift_x:
            x = torch.roll(x, (-shift_y, -shift_x), (1, 2))
            mask = shifted_window_mask(padded, self.window_size, (shift_y, shift_x), x.device)
            bias = bias + mask[:, None].to(bias.dtype)  # (windows, heads, N, N)
        x = self._attend(x, bias)
        if shift_y or shift_x:
            x = torch.roll(x, (shift_y, shift_x), (1, 2))
        x = x[:, :height, :width]
        return F.dropout(self.proj(x), self.dropout, self.training)

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attention in each window of ``x`` ``(B, H, W, C)``; ``bias`` is for all windows, or for each."""
        batch, height, width, channels = x.shape
        rows, columns = self.window_size
        heads, grid = self.num_heads, (height // rows, width // columns)
        qkv = self._project(x).reshape(batch, grid[0], rows, grid[1], columns, 3, heads, channels // heads)
        qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7)  # (3, B, gy, gx, heads, rows, columns, head_dim)
        query, key = self._queries_and_keys(qkv[0], qkv[1])
        # Windows with a bias of their own stand beside the heads: it is then not repeated over the batch.
        group = (-1, bias.shape[0] * heads, rows * columns, channels // heads)
        out = biased_attention(
            query.reshape(group),
            key.reshape(group),
            qkv[2].reshape(group),
            bias.reshape(1, *group[1:3], -1),
            self.attention_dropout if self.training else 0.0,
            self.scale,
        )
        out = out.reshape(batch, *grid, heads, rows, columns, channels // heads)
        return out.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, height, width, channels)

    def _project(self, x: Tensor) -> Tensor:
        return self.qkv(x)

    def _queries_and_keys(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return query, key


class SwinAttentionV2(SwinAttention, ShiftedWindowAttentionV2):
    """Cosine attention within windows, with the continuous position bias of Swin V2.

    Args:
        pretrained_window: window by which the coordinates of the position bias are scaled; the window of
            pre-training where fine-tuning enlarged it. Default: the window.
    """

    def __init__(self, *args, pretrained_window: int | None = None, **kwargs) -> None:
        self.pretrained_window = pretrained_window
        super().__init__(*args, qk_scale=1.0, **kwargs)

    def define_relative_position_bias_table(self) -> None:
        """Log-spaced coordinates of all offsets in a window, ``(1, 2 Wh - 1, 2 Ww - 1, 2)`` (V2, eq. 4)."""
        axes = [
            torch.arange(1 - side, side, dtype=torch.float32) / ((self.pretrained_window or side) - 1)
            for side in self.window_size
        ]
        offsets = 8 * torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)[None]
        table = offsets.sign() * torch.log2(1 + offsets.abs()) / math.log2(8)
        self.register_buffer("relative_coords_table", table, persistent=False)

    def _project(self, x: Tensor) -> Tensor:
        bias = self.qkv.bias
        if bias is not None:  # keys have none: a third of the vector is unused
            query, _, value = bias.chunk(3)
            bias = torch.cat([query, torch.zeros_like(query), value])
        return F.linear(x, self.qkv.weight, bias)

    def _queries_and_keys(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp().reshape(-1, 1, 1, 1)  # (heads, 1, 1, 1)
        scaled = F.normalize(query, dim=-1) * scale
        return scaled.to(query.dtype), F.normalize(key, dim=-1).to(query.dtype)


def shifted_window_mask(
    size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int], device: torch.device
) -> Tensor:
    """What keeps tokens apart that a cyclic shift brought into one window though they are no neighbours.

    Args:
        size: height and width of the map, whole windows.
        window: height and width of a window.
        shift: by how much the map was rolled up and left.
        device: of the result.

    Returns:
        ``(windows, N, N)`` with N tokens a window: 0 within a region, -100 between two.

    Example:
        >>> shifted_window_mask((4, 2), (2, 2), (1, 0), "cpu")[:, 0].tolist()
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -100.0, -100.0]]
    """
    regions = []
    for length, side, by in zip(size, window, shift):
        position = torch.arange(length, device=device)
        regions.append((position >= length - side).long() + ((position >= length - by) & (by > 0)).long())
    region = 3 * regions[0][:, None] + regions[1]  # (H, W)
    rows, columns = window
    region = region.reshape(size[0] // rows, rows, size[1] // columns, columns)
    region = region.permute(0, 2, 1, 3).reshape(-1, rows * columns)  # (windows, N)
    apart = region[:, :, None] != region[:, None, :]
    return torch.zeros(apart.shape, device=device).masked_fill(apart, MASKED)

"""Multi-head self-attention on torch's fused kernels, over all tokens or inside windows of a patch grid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid
from dense3d.layers.relative_position import RelativePositionBias
from dense3d.layers.rotary import Rotation, rotate

QKV_BIASES = ("full", "query_value", "none")
WINDOW_PADDINGS = ("mask", "zero", "bias")
SHORT = 64  # keys; on a CPU, fewer are quicker in plain operations than in the fused kernel


class SelfAttention(nn.Module):
    """Every token attends to every token.

    Vaswani et al., "Attention Is All You Need", 2017, with a bias of the logits (BEiT) or rotated queries and
    keys (RoFormer, DINOv3) where these are given.

    Args:
        dim: channels of a token.
        num_heads: M, a divisor of ``dim``.
        qkv_bias: ``"full"``; ``"query_value"``, keys without a bias as in BEiT and DINOv3; or ``"none"``.
        proj_bias: whether the output projection has a bias.
        relative_bias: module that gives the bias of the logits of a patch grid.
        qk_scale: factor of the products of queries and keys; one over the root of a head's channels unless
            given.
        head_dim: channels of a head; ``dim / M`` unless given.

    Attributes:
        get_v: :class:`dense3d.layers.image_position.LocalPosition`, or None for attention without a local
            term.

    Shape:
        ``(B, N, dim)`` to the same.

    Raises:
        ConfigError: ``dim`` is no multiple of ``num_heads``, or ``qkv_bias`` is not one of the three.

    Example:
        >>> SelfAttention(8, 2, qkv_bias="query_value")(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: str = "full",
        proj_bias: bool = True,
        relative_bias: RelativePositionBias | None = None,
        qk_scale: float | None = None,
        head_dim: int | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or (head_dim is None and dim % num_heads):
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        if qkv_bias not in QKV_BIASES:
            raise ConfigError(f"qkv_bias={qkv_bias!r}: use one of {', '.join(map(repr, QKV_BIASES))}")
        self.num_heads, self.qk_scale = num_heads, qk_scale
        inner = dim if head_dim is None else num_heads * head_dim
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias == "full")
        self.q_bias = nn.Parameter(torch.zeros(inner)) if qkv_bias == "query_value" else None
        self.v_bias = nn.Parameter(torch.zeros(inner)) if qkv_bias == "query_value" else None
        self.relative_bias = relative_bias
        self.get_v: nn.Module | None = None
        self.proj = nn.Linear(inner, dim, bias=proj_bias)

    def forward(
        self,
        tokens: Tensor,
        grid: Grid | None = None,
        num_prefix: int = 0,
        rotation: Rotation | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Attention of ``tokens`` with themselves.

        Args:
            tokens: ``(B, P + N, dim)``.
            grid: rows and columns of the N patches, needed for windows and relative positions.
            num_prefix: P, tokens in front of the patches.
            rotation: sines and cosines ``(N, dim / M)`` that turn queries and keys of the patches.
            kept: ``(B, P + N)``, false for tokens that others do not see, and that see none; not for windows,
                relative positions and a local term.
        """
        qkv = F.linear(tokens, self.qkv.weight, self._bias())
        query, key, value = qkv.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = (rotate(x, rotation, num_prefix) for x in (query, key))
        if kept is None:
            attended = self.attend(query, key, value, grid, num_prefix)  # (B, M, P + N, d)
            if self.get_v is not None:
                attended = attended + self.get_v(value, grid, num_prefix)
        else:
            attended = biased_attention(query, key, value, kept[:, None, None], scale=self.qk_scale)
            attended = attended * kept[:, None, :, None]
        return self.proj(attended.transpose(1, 2).flatten(2))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, grid: Grid | None, num_prefix: int) -> Tensor:
        """Softmax attention of heads ``(B, M, P + N, d)``."""
        bias = None if self.relative_bias is None else self.relative_bias(grid)[None]
        return biased_attention(query, key, value, bias, scale=self.qk_scale)

    def _bias(self) -> Tensor | None:
        if self.q_bias is None:
            return self.qkv.bias
        return torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])


class WindowAttention(SelfAttention):
    """Every patch attends to the patches of its own window and to the prefix tokens; prefix tokens to all.

    Windows lie side by side from the top left corner; those at the right and lower border are filled up.
    Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022.

    Args:
        dim, num_heads, qkv_bias, proj_bias, relative_bias, qk_scale, head_dim: as in :class:`SelfAttention`;
            the relative bias is that of a window.
        window_size: patches on a side.
        padding: what fills a window up: ``"mask"``, nothing; ``"zero"``, keys and values of zeros that take
            part in the softmax (ViT-Adapter, ViT-CoMer); ``"bias"``, keys and values of an empty token (BEiT
            in ViT-CoMer, detectron2's ViTDet).

    Raises:
        ConfigError: ``window_size`` is less than 1, or ``padding`` is not one of the three.

    Example:
        >>> attention = WindowAttention(8, 2, window_size=3)
        >>> attention(torch.zeros(2, 1 + 20, 8), grid=(4, 5), num_prefix=1).shape
        torch.Size([2, 21, 8])
    """

    def __init__(self, *args, window_size: int, padding: str = "mask", **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if padding not in WINDOW_PADDINGS:
            raise ConfigError(f"padding={padding!r}: use one of {', '.join(map(repr, WINDOW_PADDINGS))}")
        if window_size < 1:
            raise ConfigError(
                f"window_size={window_size}: a window has a side of 1 patch or more, None attends globally"
            )
        self.window_size, self.padding = window_size, padding

    def attend(self, query: Tensor, key: Tensor, value: Tensor, grid: Grid, num_prefix: int) -> Tensor:
        """Softmax attention of heads ``(B, M, P + N, d)`` inside windows of ``grid``."""
        size, batch = self.window_size, len(query)
        fill = self._fill(query)
        windows = []
        for x, empty in zip((query, key, value), fill):
            windows.append(to_windows(x[:, :, num_prefix:], grid, size, empty))  # (B * W, M, s * s, d)
        count = len(windows[0]) // batch
        if num_prefix:
            for i, x in ((1, key), (2, value)):
                prefix = x[:, :, :num_prefix].repeat_interleave(count, dim=0)
                windows[i] = torch.cat([prefix, windows[i]], dim=2)
        mask = self._mask(query, grid, num_prefix, batch)
        patches = from_windows(biased_attention(*windows, mask, scale=self.qk_scale), grid, size)
        if num_prefix == 0:
            return patches
        bias = None if self.relative_bias is None else self._prefix_bias(grid, num_prefix)[None]
        prefix = biased_attention(query[:, :, :num_prefix], key, value, bias, scale=self.qk_scale)
        return torch.cat([prefix, patches], dim=2)

    def _fill(self, query: Tensor) -> tuple[Tensor | None, ...]:
        """Query, key and value ``(M, 1, d)`` of an empty token; None stands for zeros."""
        bias = self._bias()
        if self.padding != "bias" or bias is None:
            return None, None, None
        return tuple(bias.to(query.dtype).view(3, self.num_heads, 1, -1))

    def _mask(self, query: Tensor, grid: Grid, num_prefix: int, batch: int) -> Tensor | None:
        """Bias and exclusion of padded keys ``(1 or B * W, 1 or M, 1 or s * s, P + s * s)``, or neither."""
        size = self.window_size
        padded = any(n % size for n in grid) and self.padding == "mask"
        bias = None
        if self.relative_bias is not None:
            bias = self.relative_bias((size, size))[None, :, num_prefix:]
        if not padded:
            return bias
        ones = query.new_ones(1, 1, math.prod(grid), 1)
        real = to_windows(ones, grid, size)[..., 0] > 0  # (W, 1, s * s)
        real = F.pad(real, (num_prefix, 0), value=True)[:, None].repeat(batch, 1, 1, 1)
        return real if bias is None else bias.masked_fill(~real, -torch.inf)

    def _prefix_bias(self, grid: Grid, num_prefix: int) -> Tensor:
        """``(M, P, P + N)``; it does not depend on where a patch lies."""
        to_patch, _, to_prefix = self.relative_bias.table[-3:]
        row = torch.cat([to_prefix.expand(num_prefix, -1), to_patch.expand(math.prod(grid), -1)])
        return row.t()[:, None].expand(-1, num_prefix, -1)


def to_windows(x: Tensor, grid: Grid, size: int, fill: Tensor | None = None) -> Tensor:
    """Cut heads of a patch grid into windows.

    Args:
        x: ``(B, M, h * w, d)``, row-major.
        grid: ``(h, w)``.
        size: s, patches on a side of a window.
        fill: value ``(M, 1, d)`` of the places beyond the grid; zeros unless given.

    Returns:
        ``(B * W, M, s * s, d)``, the windows of an image one after the other in row-major order.

    Example:
        >>> to_windows(torch.arange(6.0).view(1, 1, 6, 1), (2, 3), 2).flatten().tolist()
        [0.0, 1.0, 3.0, 4.0, 2.0, 0.0, 5.0, 0.0]
    """
    height, width = grid
    pad_y, pad_x = -height % size, -width % size
    x = x.unflatten(2, grid)
    if pad_y or pad_x:
        x = F.pad(x, (0, 0, 0, pad_x, 0, pad_y))
        if fill is not None:
            inside = torch.zeros(height + pad_y, width + pad_x, 1, dtype=torch.bool, device=x.device)
            inside[:height, :width] = True
            x = torch.where(inside, x, fill[:, None])
    x = x.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (B, M, H, s, W, s, d)
    return x.permute(0, 2, 4, 1, 3, 5, 6).flatten(4, 5).flatten(0, 2)


def from_windows(windows: Tensor, grid: Grid, size: int) -> Tensor:
    """Undo :func:`to_windows`: ``(B * W, M, s * s, d)`` to ``(B, M, h * w, d)``."""
    rows, columns = (-(-n // size) for n in grid)
    x = windows.unflatten(2, (size, size)).unflatten(0, (-1, rows, columns))  # (B, H, W, M, s, s, d)
    x = x.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)
    return x[:, :, : grid[0], : grid[1]].flatten(2, 3)


def biased_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """``softmax(scale * query @ key.T + bias) @ value``.

    On PyTorch's fused kernels, except on a CPU for windows of a few tokens and for a bias that learns: there
    is none for it, and PyTorch's way around computes everything in float32.

    Args:
        query, key, value: ``(B, heads, N, C)``.
        bias: of shape ``(B or 1, heads or 1, N or 1, N)``, or a mask that is True where keys take part.
        dropout: share of the weights that are dropped.
        scale: of the products; ``C ** -0.5`` unless given.

    Example:
        >>> x = torch.eye(2)[None, None]
        >>> apart = torch.tensor([[0.0, -1e4], [-1e4, 0.0]], requires_grad=True)[None, None]
        >>> biased_attention(x, x, x, apart).tolist()
        [[[[1.0, 0.0], [0.0, 1.0]]]]
    """
    if query.device.type != "cpu" or bias is None or not _plain(key, bias):
        bias = bias.to(query.dtype) if bias is not None and bias.is_floating_point() else bias
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=dropout, scale=scale
        )
    query = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    weights = (query @ key.transpose(-2, -1) + bias.to(query.dtype)).softmax(-1)
    return F.dropout(weights, dropout) @ value


def _plain(key: Tensor, bias: Tensor) -> bool:
    """Whether plain operations are the better way on a CPU."""
    learns = bias.requires_grad and torch.is_grad_enabled()
    return bias.is_floating_point() and (learns or key.shape[-2] <= SHORT)

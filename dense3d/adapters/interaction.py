"""ViT-CoMer's exchange between a pyramid of convolutional features and the tokens of a plain ViT.

Xia et al., "ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction for Dense
Predictions", CVPR 2024, arXiv 2403.07392; details from the official code (Traffic-X/ViT-CoMer).

Pyramid tokens ``c`` are the maps at strides 8, 16 and 32 one after the other, each row-major: for a ViT grid
``(h, w)`` with even sides, ``4 h w + h w + h w / 4`` tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.errors import ConfigError
from dense3d.layers.deformable_attention import MultiScaleDeformableAttention, cell_centres
from dense3d.layers.patch_embed import Grid, map_to_tokens, tokens_to_map
from dense3d.layers.transformer_block import DropPath

NORM_EPS = 1e-6
LEVELS = 3


def pyramid_shapes(grid: Grid) -> list[Grid]:
    """Sides of the maps at strides 8, 16 and 32 around a ViT grid at stride 16.

    Example:
        >>> pyramid_shapes((4, 6))
        [(8, 12), (4, 6), (2, 3)]
    """
    height, width = grid
    return [(2 * height, 2 * width), grid, (height // 2, width // 2)]


def split_pyramid(c: Tensor, grid: Grid) -> list[Tensor]:
    """Pyramid tokens ``(B, N, D)`` as three maps ``(B, D, h_l, w_l)``."""
    shapes = pyramid_shapes(grid)
    levels = c.split([height * width for height, width in shapes], dim=1)
    return [tokens_to_map(level, shape) for level, shape in zip(levels, shapes)]


def join_pyramid(maps: list[Tensor]) -> Tensor:
    """Undo :func:`split_pyramid`."""
    return torch.cat([map_to_tokens(m) for m in maps], dim=1)


def add_to_middle(c: Tensor, patches: Tensor) -> Tensor:
    """Pyramid tokens with the ViT's patches ``(B, h * w, D)`` added to those of stride 16."""
    count = patches.shape[1]
    return torch.cat([c[:, : 4 * count], c[:, 4 * count : 5 * count] + patches, c[:, 5 * count :]], dim=1)


class MultiReceptiveFieldPyramid(nn.Module):
    """MRFP: a narrow feed-forward network with depthwise 3x3 and 5x5 convolutions on each scale.

    There is no residual connection: the pyramid is replaced.

    Args:
        dim: channels of the pyramid, D.
        width: channels in between; half see the 3x3, half the 5x5 convolution.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, width)
        self.levels = nn.ModuleList(_TwoReceptiveFields(width) for _ in range(LEVELS))
        self.fc2 = nn.Linear(width, dim)

    def forward(self, c: Tensor, grid: Grid) -> Tensor:
        """Pyramid tokens ``(B, N, D)`` to new ones."""
        maps = split_pyramid(self.fc1(c), grid)
        c = join_pyramid([level(m) for level, m in zip(self.levels, maps)])
        return self.fc2(F.gelu(c))


class _TwoReceptiveFields(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv3 = nn.Conv2d(half, half, 3, padding=1, groups=half)
        self.conv5 = nn.Conv2d(channels - half, channels - half, 5, padding=2, groups=channels - half)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.split([self.conv3.in_channels, self.conv5.in_channels], dim=1)
        return F.gelu(self.norm(torch.cat([self.conv3(first), self.conv5(second)], dim=1)))


class ConvFeedForward(nn.Module):
    """Feed-forward network with one depthwise 3x3 convolution that the three scales share.

    Args:
        dim: channels of the pyramid, D.
        width: channels in between.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.fc2 = nn.Linear(width, dim)

    def forward(self, c: Tensor, grid: Grid) -> Tensor:
        """Pyramid tokens ``(B, N, D)`` to the same."""
        c = join_pyramid([self.conv(m) for m in split_pyramid(self.fc1(c), grid)])
        return self.fc2(F.gelu(c))


class PyramidAttention(MultiScaleDeformableAttention):
    """Deformable attention of pyramid tokens with pyramid tokens, each looking around its own cell.

    Args:
        dim: channels of the pyramid, D.
        num_heads, num_points: as in :class:`MultiScaleDeformableAttention`.
        value_ratio: width of the values in multiples of D.

    Raises:
        ConfigError: the heads do not divide the width of the values.
    """

    def __init__(self, dim: int, num_heads: int, num_points: int, value_ratio: float) -> None:
        width = int(dim * value_ratio)
        if num_heads < 1 or width % num_heads:
            raise ConfigError(
                f"{num_heads} heads of a ViTCoMer cannot share values of {width} channels ({dim} x "
                f"value_ratio={value_ratio:g}): choose num_heads that divides them"
            )
        super().__init__(dim, num_heads, LEVELS, num_points)
        self.value_proj = nn.Linear(dim, width)
        self.output_proj = nn.Linear(width, dim)
        self.reset_parameters()

    def forward(self, query: Tensor, feature: Tensor, grid: Grid) -> Tensor:
        """``(B, N, D)`` from queries and features of the same shape."""
        shapes = pyramid_shapes(grid)
        references = cell_centres(shapes, query.device)[None, :, None].expand(len(query), -1, LEVELS, -1)
        return super().forward(query, references, self.project_value(feature), shapes)


class CnnToVit(nn.Module):
    """CTI towards the ViT: the pyramid attends to itself and its three scales are added to the patches.

    The attention has no residual connection. ``gamma`` starts at ``init_value``; with 0 the ViT starts
    untouched.

    Args:
        dim: channels, D.
        num_heads, num_points, value_ratio: see :class:`PyramidAttention`.
        ffn_ratio: width of the feed-forward network in multiples of D.
        drop_path: probability that a sample skips the feed-forward network while training.
        init_value: start of ``gamma``.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_points: int,
        value_ratio: float,
        ffn_ratio: float,
        drop_path: float,
        init_value: float,
    ) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.feat_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = PyramidAttention(dim, num_heads, num_points, value_ratio)
        self.ffn_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.ffn = ConvFeedForward(dim, int(dim * ffn_ratio))
        self.drop_path = DropPath(drop_path)
        self.gamma = nn.Parameter(torch.full((dim,), float(init_value)))

    def forward(self, patches: Tensor, c: Tensor, grid: Grid) -> Tensor:
        """New patches ``(B, h * w, D)``."""
        a = self.attn(self.query_norm(c), self.feat_norm(c), grid)
        a = a + self.drop_path(self.ffn(self.ffn_norm(a), grid))
        fine, middle, coarse = split_pyramid(a, grid)
        fine = F.interpolate(fine, scale_factor=0.5, mode="bilinear", align_corners=False)
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return patches + self.gamma * map_to_tokens(fine + middle + coarse)


class PyramidInteraction(nn.Module):
    """Self-attention of the pyramid with a feed-forward network; the residual stream is the normalised query.

    Args:
        dim, num_heads, num_points, value_ratio, ffn_ratio, drop_path: see :class:`CnnToVit`.
        feed_forward: whether there is a feed-forward network.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_points: int,
        value_ratio: float,
        ffn_ratio: float,
        drop_path: float,
        feed_forward: bool = True,
    ) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.feat_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.inner_query_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.inner_feat_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = PyramidAttention(dim, num_heads, num_points, value_ratio)
        self.ffn_norm = nn.LayerNorm(dim, eps=NORM_EPS) if feed_forward else None
        self.ffn = ConvFeedForward(dim, int(dim * ffn_ratio)) if feed_forward else None
        self.drop_path = DropPath(drop_path)

    def forward(self, c: Tensor, grid: Grid) -> Tensor:
        """Pyramid tokens ``(B, N, D)`` to the same."""
        query, feature = self.query_norm(c), self.feat_norm(c)
        c = query + self.attn(self.inner_query_norm(query), self.inner_feat_norm(feature), grid)
        if self.ffn is None:
            return c
        return c + self.drop_path(self.ffn(self.ffn_norm(c), grid))


class VitToCnn(nn.Module):
    """CTI towards the pyramid: the patches are added to stride 16, then the scales interact.

    Args:
        dim, num_heads, num_points, value_ratio, ffn_ratio, drop_path: see :class:`CnnToVit`.
        interact: whether the scales interact at all.
        extra: whether a feed-forward network stands before the interaction (the extra CTIs at the end).
        feed_forward: whether there are feed-forward networks at all.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_points: int,
        value_ratio: float,
        ffn_ratio: float,
        drop_path: float,
        interact: bool = True,
        extra: bool = False,
        feed_forward: bool = True,
    ) -> None:
        super().__init__()
        before = extra and feed_forward
        self.ffn_norm = nn.LayerNorm(dim, eps=NORM_EPS) if before else None
        self.ffn = ConvFeedForward(dim, int(dim * ffn_ratio)) if before else None
        self.drop_path = DropPath(drop_path)
        shared = (dim, num_heads, num_points, value_ratio, ffn_ratio, drop_path)
        self.interaction = PyramidInteraction(*shared, feed_forward) if interact else None

    def forward(self, c: Tensor, patches: Tensor, grid: Grid) -> Tensor:
        """New pyramid tokens ``(B, N, D)``."""
        c = add_to_middle(c, patches)
        if self.ffn is not None:
            c = c + self.drop_path(self.ffn(self.ffn_norm(c), grid))
        return c if self.interaction is None else self.interaction(c, grid)


class CtiStage(nn.Module):
    """One stage: pyramid to ViT, a range of ViT blocks, ViT to pyramid.

    Args:
        mrfp: multi-receptive-field pyramid before the exchange, None without ``to_vit``.
        to_vit: exchange towards the ViT, or None.
        to_cnn: exchanges towards the pyramid, one after the other.
        with_cp: recompute the exchanges in the backward pass; the pyramid's batch norms run once.
    """

    def __init__(
        self,
        mrfp: MultiReceptiveFieldPyramid | None,
        to_vit: CnnToVit | None,
        to_cnn: list[VitToCnn],
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.mrfp, self.to_vit = mrfp, to_vit
        self.to_cnn = nn.ModuleList(to_cnn)
        self.with_cp = with_cp

    def before(self, patches: Tensor, c: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Patches and pyramid that the stage's blocks start from."""
        if self.to_vit is None:
            return patches, c
        c = add_to_middle(self.mrfp(c, grid), patches)
        return self._call(self.to_vit, patches, c, grid), c

    def after(self, patches: Tensor, c: Tensor, grid: Grid) -> Tensor:
        """The pyramid after the stage's blocks."""
        for exchange in self.to_cnn:
            c = self._call(exchange, c, patches, grid)
        return c

    def _call(self, module: nn.Module, *arguments) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(module, *arguments, use_reentrant=False)
        return module(*arguments)

    def forward(
        self, tokens: Tensor, c: Tensor, grid: Grid, num_prefix: int, run: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Tokens ``(B, P + h * w, D)`` and pyramid ``(B, N, D)`` after the stage with the blocks ``run``."""
        patches, c = self.before(tokens[:, num_prefix:], c, grid)
        tokens = run(torch.cat([tokens[:, :num_prefix], patches], dim=1))
        return tokens, self.after(tokens[:, num_prefix:], c, grid)

"""What HUNet is made of: norms, residual branches, and a stage of convolutions and attention on one level.

Hermosilla et al., "Masked Scene Modeling", CVPR 2025 (phermosilla/msm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.mlp import FeedForward
from dense3d.pointcloud.sparse.attention import CurveAttention
from dense3d.pointcloud.sparse.convolution import SubmanifoldConv
from dense3d.pointcloud.sparse.levels import SparseLevel

NORM_EPS = 1e-4
GAMMA = 0.1  # that residual branches start from


@dataclass(frozen=True)
class BlockStyle:
    """What the blocks of a network have in common.

    Attributes:
        gated: RMS norms, gated feed-forward networks, no biases in convolutions, attention and feed-forward
            networks ("transformer++"); or layer norms, plain feed-forward networks, biases ("transformer").
        attn_drop: dropout of the attention's weights, while training.
        curves: that consecutive attention blocks of a stage take in turn.
        shuffle_curves: ``"train"``, ``"always"`` or ``"never"``: when their order is drawn anew in each pass.
    """

    gated: bool = True
    attn_drop: float = 0.0
    curves: tuple[str, ...] = ("xyz_z-order", "yxz_z-order", "xyz_hilbert", "yxz_hilbert")
    shuffle_curves: str = "train"

    @property
    def bias(self) -> bool:
        """Whether layers within blocks have biases."""
        return not self.gated

    def norm(self, dim: int) -> nn.Module:
        """A norm over channels."""
        return RootMeanSquareNorm(dim) if self.gated else nn.LayerNorm(dim, eps=NORM_EPS)


class RootMeanSquareNorm(nn.Module):
    """``weight * x / (rms(x) + eps)``: unlike :class:`torch.nn.RMSNorm`, epsilon is added after the root.

    Args:
        dim: channels.
        eps: epsilon.

    Shape:
        ``(..., dim)`` to the same.

    Example:
        >>> RootMeanSquareNorm(4, eps=2.0)(torch.tensor([[2.0, -2.0, 2.0, 2.0]])).tolist()
        [[0.5, -0.5, 0.5, 0.5]]
    """

    def __init__(self, dim: int, eps: float = NORM_EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis, whose length is taken in float32 at least."""
        wide = torch.promote_types(x.dtype, torch.float32)
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide) * x.shape[-1] ** -0.5
        return x * (1 / (rms + self.eps)).to(x.dtype) * self.weight

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps:g}"


class GatedFeedForward(nn.Module):
    """``fc2(gelu(a) * b)``, a and b the halves of ``fc1(x)``, without biases.

    Shazeer, "GLU Variants Improve Transformer", 2020, GEGLU.

    Args:
        dim: input and output channels.
        hidden_dim: channels of the gate.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * hidden_dim, bias=False)
        self.fc2 = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., dim)`` to the same."""
        gate, value = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(F.gelu(gate) * value)


class Residual(nn.Module):
    """``x + gamma * branch``, where a scene loses the branch with probability ``drop_path`` while training.

    Args:
        dim: channels.
        drop_path: probability, below 1; the branches of the other scenes grow by 1 / (1 - drop_path).
    """

    def __init__(self, dim: int, drop_path: float = 0.0) -> None:
        super().__init__()
        if not 0 <= drop_path < 1:
            raise ConfigError(f"drop path rate {drop_path:g}: give a probability from 0 to below 1")
        self.gamma = nn.Parameter(torch.full((dim,), GAMMA))
        self.drop_path = drop_path

    def forward(self, x: Tensor, branch: Tensor, level: SparseLevel) -> Tensor:
        """``(V, dim)`` both."""
        scale = self.gamma
        if self.training and self.drop_path:
            kept = torch.rand(level.num_scenes, 1, device=x.device) >= self.drop_path
            scale = scale * (kept / (1 - self.drop_path))[level.scene]
        return x + scale * branch

    def extra_repr(self) -> str:
        return f"{len(self.gamma)}, drop_path={self.drop_path:g}"


class ResidualConvBlock(nn.Module):
    """Norm, convolution, GELU, convolution, norm, added to the input.

    Args:
        dim: channels.
        style: see :class:`BlockStyle`.
        drop_path: see :class:`Residual`.
    """

    def __init__(self, dim: int, style: BlockStyle, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = style.norm(dim)
        self.conv1 = SubmanifoldConv(dim, dim, style.bias)
        self.conv2 = SubmanifoldConv(dim, dim, style.bias)
        self.norm2 = style.norm(dim)
        self.residual = Residual(dim, drop_path)

    def forward(self, x: Tensor, level: SparseLevel) -> Tensor:
        """``(V, dim)`` to the same."""
        branch = F.gelu(self.conv1(self.norm1(x), level))
        return self.residual(x, self.norm2(self.conv2(branch, level)), level)


class CurveTransformerBlock(nn.Module):
    """Attention along a curve, then a feed-forward network four times as wide, each added to its input.

    Args:
        dim, num_heads, window: see :class:`dense3d.pointcloud.sparse.CurveAttention`.
        style: see :class:`BlockStyle`.
        drop_path: of both branches, see :class:`Residual`.
    """

    def __init__(
        self, dim: int, num_heads: int, window: int, style: BlockStyle, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = style.norm(dim)
        self.attn = CurveAttention(dim, num_heads, window, style.bias, style.attn_drop)
        self.residual1 = Residual(dim, drop_path)
        self.norm2 = style.norm(dim)
        self.mlp = GatedFeedForward(dim, 4 * dim) if style.gated else FeedForward(dim, 4 * dim)
        self.residual2 = Residual(dim, drop_path)

    def forward(self, x: Tensor, level: SparseLevel, curve: str) -> Tensor:
        """``(V, dim)`` to the same."""
        x = self.residual1(x, self.attn(self.norm1(x), level, curve), level)
        return self.residual2(x, self.mlp(self.norm2(x)), level)


class Stage(nn.Module):
    """Residual convolutions, then attention along one curve after the other, on one level.

    Args:
        dim: channels.
        num_convs, num_attentions: blocks; there may be none.
        num_heads, window: of the attention.
        style: see :class:`BlockStyle`.
        drop_paths: a rate for each block.
    """

    def __init__(
        self,
        dim: int,
        num_convs: int,
        num_attentions: int,
        num_heads: int,
        window: int,
        style: BlockStyle,
        drop_paths: Sequence[float],
    ) -> None:
        super().__init__()
        self.style = style
        self.convs = nn.ModuleList(ResidualConvBlock(dim, style, rate) for rate in drop_paths[:num_convs])
        self.attentions = nn.ModuleList(
            CurveTransformerBlock(dim, num_heads, window, style, rate)
            for rate in drop_paths[num_convs : num_convs + num_attentions]
        )

    def forward(self, x: Tensor, level: SparseLevel) -> Tensor:
        """``(V, dim)`` to the same."""
        for block in self.convs:
            x = block(x, level)
        curves = self._curves() if len(self.attentions) else ()
        for index, block in enumerate(self.attentions):
            x = block(x, level, curves[index % len(curves)])
        return x

    def _curves(self) -> tuple[str, ...]:
        curves, when = self.style.curves, self.style.shuffle_curves
        if when == "never" or (when == "train" and not self.training):
            return curves
        return tuple(curves[i] for i in torch.randperm(len(curves)).tolist())


def rising_rates(last: float, stages: Sequence[int]) -> list[list[float]]:
    """Drop-path rates of the blocks of each stage, rising evenly from 0 over all of them.

    Example:
        >>> rising_rates(0.5, [1, 2])
        [[0.0], [0.25, 0.5]]
    """
    rates = np.linspace(0, last, sum(stages)).tolist()
    return [[rates.pop(0) for _ in range(count)] for count in stages]

"""S2AFormer, after the paper: strip self-attention and a local branch in every block.

Xu et al., "S2AFormer: Strip Self-Attention for Efficient Vision Transformer", IEEE TIP 2025
(arXiv:2505.22195). No code, weights or widths are public. The order of a block's branches, three convolutions
as the stem, the reduction by convolution and the compression of queries and keys are the paper's; every
number is a decision of ours, and no accuracy of the paper can be expected of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dense3d.backbones.stage_sizes import stage_sizes
from dense3d.backbones.staged import StagedBackbone
from dense3d.layers.conv_stem import ConvStem
from dense3d.layers.depthwise_mlp import DepthwiseConv
from dense3d.layers.mlp import FeedForward
from dense3d.layers.strip_attention import StripAttention
from dense3d.layers.transformer_block import DropPath
from dense3d.registry import MODELS

# Sizes of ours, with heads of 32 channels.
ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(dims=(32, 64, 160, 256), depths=(2, 2, 6, 2), num_heads=(1, 2, 5, 8)),
    "small": dict(dims=(64, 128, 256, 512), depths=(2, 2, 8, 2), num_heads=(2, 4, 8, 16)),
    "medium": dict(dims=(64, 128, 320, 512), depths=(3, 4, 12, 3), num_heads=(2, 4, 10, 16)),
}
_DEFAULTS: dict[str, Any] = dict(reductions=(8, 4, 2, 1), mlp_ratios=4)


@MODELS.register_module()
class S2AFormer(StagedBackbone):
    """S2AFormer after the paper, maps of strides 4, 8, 16, 32.

    Args:
        arch: a size of :data:`ARCHITECTURES`, or a dict with, one value a stage, ``dims``, ``depths``,
            ``num_heads`` and, where they differ, ``reductions`` of keys and values (8, 4, 2, 1) and
            ``mlp_ratios`` (4).
        affinity_dim: channels of a query or key of a head: 1 is the strip, ``dims[i] / num_heads[i]`` the
            reduced attention of PVT.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the
            down-sampling before a stage belongs to that stage. Weights are of our layout.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, lists of different lengths, heads that do not divide the width,
            stages out of range.

    Example:
        >>> sizes = dict(dims=(8, 16), depths=(1, 1), num_heads=(1, 2), reductions=(2, 1))
        >>> backbone = S2AFormer(sizes, out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4), mlp_ratios=2))
    }

    def __init__(
        self,
        arch: str | dict = "small",
        affinity_dim: int = 1,
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = stage_sizes("S2AFormer", arch, ARCHITECTURES, _DEFAULTS)
        dims, self.depths = sizes["dims"], sizes["depths"]
        super().__init__(dims, 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        width = max(dims[0] // 2, 1)
        self.patch_embed = ConvStem(in_channels, (width,) * 3, (2, 1, 1), bias=False)
        rates = iter(torch.linspace(0, drop_path_rate, sum(self.depths), device="cpu").tolist())
        self.stages = nn.ModuleList()
        for index, (dim, depth) in enumerate(zip(dims, self.depths)):
            stage = nn.Module()
            stage.downsample = OverlappingPatches(dims[index - 1] if index else width, dim)
            stage.blocks = nn.ModuleList(
                HybridPerceptionBlock(
                    dim,
                    StripAttention(dim, sizes["num_heads"][index], sizes["reductions"][index], affinity_dim),
                    int(dim * sizes["mlp_ratios"][index]),
                    next(rates),
                )
                for _ in range(depth)
            )
            self.stages.append(stage)
        for index, dim in zip(self.out_indices, self.out_channels):
            self.add_module(f"norm{index}", nn.LayerNorm(dim, eps=1e-6))
        self._initialise()
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """Nothing is padded: every convolution of stride 2 rounds up."""
        return 1

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, ceil(H / 4), ceil(W / 4), C)``."""
        return self.stages[0].downsample(self.patch_embed(images).permute(0, 2, 3, 1))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before, then run the blocks: ``(B, h, w, C)``."""
        if index > 0:
            x = self.downsampling(index)(x)
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def to_map(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2).contiguous()

    def stem_modules(self) -> list[nn.Module]:
        """The convolutions before the first stage."""
        return [self.patch_embed, self.stages[0].downsample]

    def downsampling(self, index: int) -> nn.Module:
        """The strided convolution before stage ``index``."""
        return self.stages[index].downsample

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.stages[index].blocks

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
            elif isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0, math.sqrt(2 * module.groups / fan_out))
            if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
                nn.init.zeros_(module.bias)


class OverlappingPatches(nn.Module):
    """Halve a channels-last map: 3x3 convolution of stride 2 and layer norm over channels.

    Args:
        dim: channels before.
        out_dim: channels after.

    Shape:
        ``(B, h, w, dim)`` to ``(B, ceil(h / 2), ceil(w / 2), out_dim)``.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, 3, 2, padding=1)
        self.norm = nn.LayerNorm(out_dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """The map of half the size."""
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class LocalInteraction(nn.Module):
    """Local detail after global mixing: linear layer, depthwise 3x3, GELU, linear layer.

    Args:
        dim: channels.

    Shape:
        ``(B, h, w, dim)`` to the same.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, dim)
        self.conv = DepthwiseConv(dim)
        self.fc2 = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """The branch."""
        return self.fc2(nn.functional.gelu(self.conv(self.fc1(x))))


class HybridPerceptionBlock(nn.Module):
    """A depthwise convolution, strip attention, local interaction and an MLP, each added to what it reads.

    Args:
        dim: channels.
        attention: module on channels-last maps.
        hidden_dim: of the MLP.
        drop_path: probability that a sample skips one of the last three while training.

    Shape:
        ``(B, h, w, dim)`` to the same.
    """

    def __init__(self, dim: int, attention: nn.Module, hidden_dim: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.pos = DepthwiseConv(dim)
        branches = attention, LocalInteraction(dim), FeedForward(dim, hidden_dim)
        self.branches = nn.ModuleList(branches)
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps=1e-6) for _ in branches)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """All branches, one after the other."""
        x = x + self.pos(x)
        for norm, branch in zip(self.norms, self.branches):
            x = x + self.drop_path(branch(norm(x)))
        return x

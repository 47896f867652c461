"""The pyramid that RMT and PPMA have in common: all but the attention of its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.layers.conv_stem import ConvDownsampling, ConvStem
from dense3d.layers.decay_attention import DecayAttention, flat_rotation
from dense3d.layers.depthwise_mlp import DepthwiseConv, DepthwiseMLP
from dense3d.layers.projected_classifier import ProjectedClassifier
from dense3d.layers.rotary import Rotation
from dense3d.layers.transformer_block import TransformerBlock


class PositionedBlock(TransformerBlock):
    """A transformer block of a map, which a depthwise convolution tells its positions beforehand.

    Args:
        dim: channels of the map.
        num_heads, args, kwargs: as in :class:`dense3d.layers.transformer_block.TransformerBlock`.

    Shape:
        ``(B, h, w, dim)`` to the same.
    """

    def __init__(self, dim: int, num_heads: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(dim, num_heads, *args, **kwargs)
        self.pos = DepthwiseConv(dim)

    def forward(self, x: Tensor, *attention_args: Any) -> Tensor:
        """``x + pos(x)`` through both branches."""
        return super().forward(x + self.pos(x), *attention_args)


class DecayStage(nn.Module):
    """Blocks of one resolution, and the down-sampling after them where there is a next stage."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample


class DecayPyramid(StagedBackbone):
    """Base of RMT and PPMA: stem, stages, classifier.

    Args:
        sizes: ``dims``, ``depths``, ``num_heads``, ``mlp_ratios`` and ``layer_scale_stages`` (whether the
            branches of a stage have a layer scale), one value a stage.
        layer_scale: initial layer scale where there is one.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`.
    """

    downsampling_ends_stage = True
    token_labels = False  # whether the classifier scores pixels as well

    def __init__(
        self,
        sizes: Mapping[str, tuple],
        layer_scale: float,
        drop_path_rate: float,
        in_channels: int,
        out_indices: Sequence[int],
        frozen_stages: int,
        with_cp: bool,
        init_cfg: dict | None,
    ) -> None:
        dims, self.depths = sizes["dims"], sizes["depths"]
        super().__init__(dims, 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        first = dims[0]
        self.patch_embed = ConvStem(in_channels, (first // 2, first // 2, first, first), (2, 1, 2, 1))
        rates = iter(torch.linspace(0, drop_path_rate, sum(self.depths), device="cpu").tolist())
        self.layers = nn.ModuleList()
        for index, (dim, heads, ratio) in enumerate(zip(dims, sizes["num_heads"], sizes["mlp_ratios"])):
            blocks = [
                PositionedBlock(
                    dim,
                    heads,
                    layer_scale=layer_scale if sizes["layer_scale_stages"][index] else None,
                    drop_path=next(rates),
                    attn=self.attention(dim, heads, index),
                    mlp=DepthwiseMLP(dim, int(dim * ratio), conv_place="after", residual=True),
                )
                for _ in range(self.depths[index])
            ]
            last = index == len(dims) - 1
            self.layers.append(DecayStage(blocks, None if last else ConvDownsampling(dim, dims[index + 1])))
        for index, dim in zip(self.out_indices, self.out_channels):
            self.add_module(f"norm{index}", nn.LayerNorm(dim))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    # What a family supplies -----------------------------------------------------------------------------

    def attention(self, dim: int, num_heads: int, stage: int) -> DecayAttention:
        """Attention of a block of ``stage``."""
        raise NotImplementedError

    def masks(self, stage: int, x: Tensor) -> tuple[Any, ...]:
        """What all attentions of a stage are given beside the rotation."""
        return ()

    # What they share ------------------------------------------------------------------------------------

    @property
    def pad_multiple(self) -> int:
        """Nothing is padded: every convolution of stride 2 rounds up."""
        return 1

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, ceil(H / 4), ceil(W / 4), C)``."""
        return self.patch_embed(images).permute(0, 2, 3, 1)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before, then run the blocks: ``(B, h, w, C)``."""
        if index > 0:
            x = self.downsampling(index)(x)
        position = (self.rotation(index, x), *self.masks(index, x))
        for block in self.blocks(index):
            x = self.run(block, x, *position)
        return x

    def rotation(self, index: int, x: Tensor) -> Rotation:
        """Rotation of the queries and keys of a stage's map ``(B, h, w, C)``."""
        return flat_rotation(x.shape[1:3], self.blocks(index)[0].attn.head_dim, x.device)

    def to_map(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2).contiguous()

    def stem_modules(self) -> list[nn.Module]:
        """The convolutions before the first stage."""
        return [self.patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """The strided convolution and its norm before stage ``index``."""
        return self.layers[index - 1].downsample

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.layers[index].blocks

    def class_head(self, num_classes: int, hidden_dim: int = 1024) -> nn.Module:
        """The official classifier of :meth:`embed`'s map, see :class:`ProjectedClassifier`."""
        return ProjectedClassifier(self.out_channels[-1], num_classes, hidden_dim, self.token_labels)

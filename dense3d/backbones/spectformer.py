"""SpectFormer for dense prediction: filters in the frequency domain first, attention later.

Patro et al., SpectFormer: Frequency and Attention is what you need in a Vision Transformer, 2023
(arXiv:2304.06446); official code: badripatro/SpectFormers, whose hierarchical networks take images of 224
pixels alone. Filters are fitted to other sizes here, see
:class:`dense3d.layers.spectral_filter.GlobalFilter`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.attention import SelfAttention
from dense3d.layers.class_attention import ClassAttentionHead
from dense3d.layers.depthwise_mlp import DepthwiseMLP
from dense3d.layers.spectral_filter import GlobalFilter
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS

# Released sizes, H-S to H-L there.
ARCHITECTURES: dict[str, dict] = {
    "small": dict(embed_dims=(64, 128, 320, 448), depths=(3, 4, 6, 3), num_heads=(2, 4, 10, 14), stem_dim=32),
    "base": dict(embed_dims=(64, 128, 320, 512), depths=(3, 4, 12, 3), num_heads=(2, 4, 10, 16), stem_dim=64),
    "large": dict(
        embed_dims=(96, 192, 384, 512), depths=(3, 6, 18, 3), num_heads=(3, 6, 12, 16), stem_dim=64
    ),
}
_PER_STAGE = ("embed_dims", "depths", "num_heads", "mlp_ratios")
_KEYS = (*_PER_STAGE, "stem_dim")


class MapAttention(SelfAttention):
    """Every pixel of a map attends to every pixel, see :class:`SelfAttention`.

    Shape:
        ``(B, h, w, dim)`` to the same.

    Example:
        >>> import torch
        >>> MapAttention(8, 2)(torch.zeros(1, 3, 4, 8)).shape
        torch.Size([1, 3, 4, 8])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Attention of the pixels with themselves."""
        return super().forward(x.flatten(1, 2)).unflatten(1, x.shape[1:3])


class SpectralGate(GlobalFilter):
    """A global filter of maps with the channels last, ``(B, h, w, C)``.

    Example:
        >>> import torch
        >>> SpectralGate(8, (4, 4))(torch.zeros(1, 3, 4, 8)).shape
        torch.Size([1, 3, 4, 8])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The filtered map."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ConvEmbed(nn.Module):
    """Convolution of 3 x 3 pixels in steps of two, and a norm: ``(B, C, h, w)`` to channels last.

    Example:
        >>> import torch
        >>> ConvEmbed(4, 8)(torch.zeros(1, 4, 5, 6)).shape
        torch.Size([1, 3, 3, 8])
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(dim, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """The map of half the size, rounded up."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class Stage(nn.Module):
    """Blocks of one resolution, the down-sampling before and the norm after them, as far as there are any."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm


@MODELS.register_module()
class SpectFormer(StagedBackbone):
    """Hierarchical SpectFormer, maps of strides 4, 8, 16, 32.

    Stages 1 and 2 mix pixels by a learned filter in the frequency domain, stages 3 and 4 by attention. Norms
    between the stages are part of the way through the network, so maps are normalised as they are.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with ``embed_dims``, ``depths``,
            ``num_heads``, one a stage, ``stem_dim`` and, where they are not 8, 8, 4, 4, ``mlp_ratios``.
        pretrain_size: side of the images that the filters are for.
        token_labels: whether the classifier scores pixels too.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the
            down-sampling before a stage belongs to that stage.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, embed_dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, lists that are not one a stage, heads that do not divide the width,
            stages out of range.

    Example:
        >>> import torch
        >>> arch = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), stem_dim=4)
        >>> backbone = SpectFormer(arch, out_indices=(0, 2))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 3, 4)]
    """

    spectral_stages: ClassVar[int] = 2  # the first ones
    converters = ("spectformer",)
    norms_are_pretrained = True  # the one after the last stage
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(
                embed_dims=(16, 16, 32, 32),
                depths=(1, 1, 1, 1),
                num_heads=(1, 1, 2, 2),
                mlp_ratios=(2, 2, 2, 2),
                stem_dim=8,
            ),
            pretrain_size=64,
        )
    }

    def __init__(
        self,
        arch: str | dict = "small",
        pretrain_size: int = 224,
        token_labels: bool = True,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(type(self).__name__, arch)
        self.depths = tuple(sizes["depths"])
        dims = tuple(sizes["embed_dims"])
        super().__init__(dims, 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        self.token_labels = token_labels
        self.num_heads, self.mlp_ratios = tuple(sizes["num_heads"]), tuple(sizes["mlp_ratios"])
        self.patch_embed = _stem(in_channels, sizes["stem_dim"], dims[0])
        last = max(sum(self.depths) - 1, 1)
        rates = (drop_path_rate * i / last for i in range(sum(self.depths)))
        self.stages = nn.ModuleList()
        for index, (dim, depth) in enumerate(zip(dims, self.depths)):
            blocks = [
                TransformerBlock(
                    dim,
                    num_heads=1,
                    drop_path=next(rates),
                    attn=self._mixer(index, math.ceil(pretrain_size / (4 * 2**index))),
                    mlp=DepthwiseMLP(dim, int(dim * self.mlp_ratios[index]), "before"),
                )
                for _ in range(depth)
            ]
            downsample = _Downsampling(dims[index - 1], dim) if index else nn.Identity()
            norm = nn.LayerNorm(dim, eps=1e-6) if index < 3 else nn.Identity()
            self.stages.append(Stage(downsample, blocks, norm))
        if 3 in self.out_indices:
            self.norm3 = nn.LayerNorm(dims[3], eps=1e-6)
        self._initialise()
        self.freeze()

    def _mixer(self, index: int, side: int) -> nn.Module:
        if index < self.spectral_stages:
            return self.spectral_mixer(self.channels[index], side)
        return MapAttention(self.channels[index], self.num_heads[index])

    def spectral_mixer(self, dim: int, side: int) -> nn.Module:
        """What the first stages mix pixels by, for maps of ``side`` squared."""
        return SpectralGate(dim, (side, side))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                outputs = module.weight[0, 0].numel() * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / outputs))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def pad_multiple(self) -> int:
        """1: every convolution rounds up."""
        return 1

    def class_head(self, num_classes: int) -> nn.Module:
        """The official classifier: class attention from the mean of the pixels, norm, linear layers."""
        heads, ratio = self.num_heads[3], self.mlp_ratios[3]
        return ClassAttentionHead(self.channels[3], num_classes, heads, ratio, token_labels=self.token_labels)

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, ceil(H / 4), ceil(W / 4), C)``."""
        return self.patch_embed(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before, run the blocks, normalise: ``(B, h, w, C)``."""
        stage = self.stages[index]
        x = stage.downsample(x)
        for block in stage.blocks:
            x = self.run(block, x)
        return stage.norm(x)

    def to_map(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2).contiguous()

    def stem_modules(self) -> list[nn.Module]:
        """The convolutions before stage 0."""
        return [self.patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """The strided convolution and its norm before stage ``index``."""
        return self.stages[index].downsample

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.stages[index].blocks

    def freeze(self) -> None:
        """As the base does; norms behind stages go with them."""
        super().freeze()
        for stage in self.stages[self.out_indices[-1] + 1 :]:
            stage.norm.requires_grad_(False)

    def _frozen_modules(self) -> list[nn.Module]:
        return super()._frozen_modules() + [stage.norm for stage in self.stages[: max(self.frozen_stages, 0)]]

    def layer_ids(self) -> dict[str, int]:
        """As the base counts; a norm between stages has the depth of the block before it."""
        ids = super().layer_ids()
        for index, stage in enumerate(self.stages):
            for name, _ in stage.norm.named_parameters():
                ids[f"stages.{index}.norm.{name}"] = sum(self.depths[: index + 1])
        return ids


class _Downsampling(ConvEmbed):
    """:class:`ConvEmbed` of a map with the channels last."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, ceil(h / 2), ceil(w / 2), C')``."""
        return super().forward(x.permute(0, 3, 1, 2))


def _stem(in_channels: int, width: int, dim: int) -> nn.Sequential:
    """Three convolutions at half the size, then the embedding of stride 4."""
    layers: list[nn.Module] = []
    for channels, kernel, stride in ((in_channels, 7, 2), (width, 3, 1), (width, 3, 1)):
        layers += [
            nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, ConvEmbed(width, dim))


def _sizes(family: str, arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"{family} has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        arch = ARCHITECTURES[arch]
    sizes = {"mlp_ratios": (8, 8, 4, 4), **arch}
    unknown = sorted(set(sizes) - set(_KEYS))
    if unknown:
        raise ConfigError(f"{family}: arch has no key {unknown[0]!r}{did_you_mean(unknown[0], _KEYS)}")
    missing = [key for key in _KEYS if key not in sizes]
    if missing:
        raise ConfigError(f"{family}: arch lacks {', '.join(missing)}")
    for name in _PER_STAGE:
        if len(sizes[name]) != 4:
            raise ConfigError(f"{family} has four stages, but arch has {len(sizes[name])} {name}")
    return sizes

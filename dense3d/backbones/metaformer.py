"""The MetaFormer baselines: CAFormer, ConvFormer, PoolFormerV2, IdentityFormer, RandFormer.

Yu et al., "MetaFormer Baselines for Vision", TPAMI 2024 (arXiv:2210.13452); official code:
sail-sg/metaformer, classification only: the maps are handed out as the stages give them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from dense3d.backbones.embedded_stages import EmbeddedStages, Stage
from dense3d.backbones.poolformer import sizes_of
from dense3d.errors import ConfigError
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.metaformer import MetaFormerBlock, mixer
from dense3d.optional import require
from dense3d.registry import MODELS

_SMALL, _MEDIUM = (64, 128, 320, 512), (96, 192, 384, 768)
_POOL_SIZES = {
    "s12": dict(dims=_SMALL, depths=(2, 2, 6, 2)),
    "s24": dict(dims=_SMALL, depths=(4, 4, 12, 4)),
    "s36": dict(dims=_SMALL, depths=(6, 6, 18, 6)),
    "m36": dict(dims=_MEDIUM, depths=(6, 6, 18, 6)),
    "m48": dict(dims=_MEDIUM, depths=(8, 8, 24, 8)),
}
_CONV_SIZES = {
    "s18": dict(dims=_SMALL, depths=(3, 3, 9, 3)),
    "s36": dict(dims=_SMALL, depths=(3, 12, 18, 3)),
    "m36": dict(dims=(96, 192, 384, 576), depths=(3, 12, 18, 3)),
    "b36": dict(dims=(128, 256, 512, 768), depths=(3, 12, 18, 3)),
}
# kind -> mixers of the stages, norm, whether the classifier has a hidden layer, sizes
_KINDS = {
    "caformer": (("conv", "conv", "attention", "attention"), "channel", True, _CONV_SIZES),
    "convformer": (("conv",) * 4, "channel", True, _CONV_SIZES),
    "poolformerv2": (("pool",) * 4, "group", False, _POOL_SIZES),
    "identityformer": (("identity",) * 4, "group", False, _POOL_SIZES),
    "randformer": (("identity", "identity", "random", "random"), "group", False, _POOL_SIZES),
}
# Released sizes, such as "caformer_s18".
ARCHITECTURES: dict[str, dict] = {
    f"{kind}_{name}": dict(size, mixers=mixers, norm=norm, mlp_head=mlp_head)
    for kind, (mixers, norm, mlp_head, sizes) in _KINDS.items()
    for name, size in sizes.items()
}
NORMS = ("channel", "group")
_KEYS = ("dims", "depths", "mixers", "norm", "norm_eps", "mlp_head", "layer_scale", "res_scale")


class UnbiasedGroupNorm(nn.GroupNorm):
    """Group norm of maps with one group, over channels and pixels, with a weight and no bias."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(1, channels, eps=eps)
        self.register_parameter("bias", None)


class UnbiasedLayerNorm(ChannelLayerNorm):
    """Layer norm of each pixel with a weight and no bias."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps)
        self.register_parameter("bias", None)


class MetaFormerHead(nn.Module):
    """Mean over the pixels, layer norm, and a linear layer or two with a squared ReLU and a norm between."""

    def __init__(self, channels: int, num_classes: int, hidden: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        if hidden:
            build = require("timm.models.metaformer", "MetaFormer").MlpHead
            self.head = build(channels, num_classes, norm_layer=nn.LayerNorm)
        else:
            self.head = nn.Linear(channels, num_classes)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to ``(B, num_classes)``."""
        return self.head(self.norm(x.mean(dim=(2, 3))))


@MODELS.register_module()
class MetaFormer(EmbeddedStages):
    """A MetaFormer baseline, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with four ``dims``, ``depths`` and ``mixers``
            (see :func:`dense3d.layers.metaformer.mixer`), and, where they are not "channel", 1e-6, False,
            None and (None, None, 1, 1): ``norm`` ("channel", of each pixel, or "group", of all of an image),
            ``norm_eps``, ``mlp_head`` (of the classifier), ``layer_scale`` and ``res_scale``, one for all
            stages or one each.
        pool_size: side of the neighbourhood of pooling.
        random_grids: rows and columns of the tokens that random mixing is made for, of each stage; those of
            images of 224 pixels. Other images have its matrix resized.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see
            :class:`dense3d.backbones.staged.StagedBackbone`; the embedding before a stage belongs to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size, mixer or norm, not four stages, attention on widths that are no multiple of
            32.

    Example:
        >>> import torch
        >>> mixers = ("conv", "conv", "attention", "pool")
        >>> backbone = MetaFormer(dict(dims=(8, 16, 32, 64), depths=(1, 1, 1, 1), mixers=mixers))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7), (1, 32, 3, 4), (1, 64, 2, 2)]
    """

    converters = ("metaformer",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        kind: dict(
            arch=dict(
                dims=(16, 32, 32, 64), depths=(1, 1, 2, 1), mixers=_KINDS[kind][0], norm=_KINDS[kind][1]
            )
        )
        for kind in ("caformer", "poolformerv2", "randformer")
    }

    def __init__(
        self,
        arch: str | dict = "caformer_s18",
        pool_size: int = 3,
        random_grids: Sequence[tuple[int, int]] = ((56, 56), (28, 28), (14, 14), (7, 7)),
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = sizes_of("MetaFormer", arch, ARCHITECTURES, _KEYS)
        if "mixers" not in sizes:
            raise ConfigError("MetaFormer: arch needs mixers, one for each of its four stages")
        self.depths = tuple(sizes["depths"])
        super().__init__(sizes["dims"], 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        kind = sizes.get("norm", "channel")
        if kind not in NORMS:
            raise ConfigError(f"MetaFormer: norm={kind!r}, but there are {', '.join(NORMS)}")
        norm = partial(
            UnbiasedLayerNorm if kind == "channel" else UnbiasedGroupNorm, eps=sizes.get("norm_eps", 1e-6)
        )
        self.mlp_head = sizes.get("mlp_head", False)
        timm = require("timm.models.metaformer", "MetaFormer")
        mlp = partial(require("timm.layers", "MetaFormer").Mlp, act_layer=timm.StarReLU, bias=False)
        last = max(sum(self.depths) - 1, 1)
        rates = iter([drop_path_rate * i / last for i in range(sum(self.depths))])
        layer_scales = _per_stage(sizes.get("layer_scale"))
        res_scales = _per_stage(sizes.get("res_scale", (None, None, 1.0, 1.0)))
        self.stages = nn.ModuleList()
        for index, (before, dim) in enumerate(pairwise((in_channels, *self.channels))):
            blocks = [
                MetaFormerBlock(
                    dim,
                    mixer(sizes["mixers"][index], dim, pool_size, tuple(random_grids[index])),
                    mlp(dim, 4 * dim, use_conv=True),
                    (norm(dim), norm(dim)),
                    layer_scales[index],
                    res_scales[index],
                    next(rates),
                )
                for _ in range(self.depths[index])
            ]
            if index == 0:
                parts = dict(conv=nn.Conv2d(before, dim, 7, 4, 2), norm=UnbiasedLayerNorm(dim))
            else:
                parts = dict(norm=UnbiasedLayerNorm(before), conv=nn.Conv2d(before, dim, 3, 2, 1))
            embed = nn.Sequential(OrderedDict(parts))
            self.stages.append(Stage(embed, blocks))
        _initialise(self)
        self.freeze()

    def class_head(self, num_classes: int) -> nn.Module:
        """Mean over the pixels, norm, and one linear layer, or two of CAFormer and ConvFormer."""
        return MetaFormerHead(self.channels[-1], num_classes, self.mlp_head)


def _per_stage(value: float | Sequence[float | None] | None) -> Sequence[float | None]:
    return value if isinstance(value, Sequence) else (value,) * 4


def _initialise(network: nn.Module) -> None:
    """All linear layers and convolutions: truncated normal of 0.02, zero biases."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

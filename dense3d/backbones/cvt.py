"""CvT, convolutions in vision transformers.

Wu et al., "CvT: Introducing Convolutions to Vision Transformers", ICCV 2021 (arXiv:2103.15808); official
code: microsoft/CvT, which has no dense tasks. Own for these are the padding to whole strides, a norm on every
map and the fourth map of the networks of three stages: their last one, pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.class_heads import TokenHead
from dense3d.layers.convolutional_projection import ConvolutionalAttention
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.map_head import NormedMapHead
from dense3d.layers.mlp import FeedForward, quick_gelu
from dense3d.layers.patch_embed import map_to_tokens, tokens_to_map
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS

# Released sizes.
ARCHITECTURES: dict[str, dict] = {
    "13": dict(dims=(64, 192, 384), depths=(1, 2, 10), num_heads=(1, 3, 6)),
    "21": dict(dims=(64, 192, 384), depths=(1, 4, 16), num_heads=(1, 3, 6)),
    "w24": dict(dims=(192, 768, 1024), depths=(2, 2, 20), num_heads=(3, 12, 16)),
}
ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": F.gelu}
# Keys of arch beside the sizes, with the values of the released networks: one for all stages, or one a stage.
_PER_STAGE: dict = {
    "kernel": 3,
    "kernel_padding": 1,
    "stride": 2,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "projection": "conv",
    "projection_kernel": 3,
    "query_padding": 1,
    "query_stride": 1,
    "key_padding": 1,
    "key_stride": 2,
    "class_token": False,
}
_SIZES = ("dims", "depths", "num_heads")
_WHOLE: dict = {"activation": "quick_gelu", "norm_eps": 1e-5}
KEYS = (*_SIZES, *_PER_STAGE, *_WHOLE)
_STEM = {"kernel": 7, "kernel_padding": 2, "stride": 4}  # of the first stage


class ConvEmbed(nn.Module):
    """Overlapping patches to tokens: a strided convolution and a LayerNorm over channels.

    Shape:
        ``(B, in_channels, H, W)`` to ``(B, dim, h, w)``.
    """

    def __init__(self, in_channels: int, dim: int, kernel: int, stride: int, padding: int, eps: float):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel, stride, padding)
        self.norm = ChannelLayerNorm(dim, eps)

    def forward(self, x: Tensor) -> Tensor:
        """The normed map."""
        return self.norm(self.proj(x))


class Stage(nn.Module):
    """Patches, the class token where there is one, and blocks of one resolution."""

    def __init__(self, patch_embed: nn.Module, class_token: Tensor | None, blocks: Sequence[nn.Module]):
        super().__init__()
        self.patch_embed = patch_embed
        self.cls_token = None if class_token is None else nn.Parameter(class_token)
        self.blocks = nn.ModuleList(blocks)

    @property
    def num_prefix(self) -> int:
        """Tokens in front of the patches."""
        return int(self.cls_token is not None)


@MODELS.register_module()
class CvT(StagedBackbone):
    """CvT, maps of strides 4, 8, 16 and, pooled, 32.

    Args:
        arch: a released size (``"13"``, ``"21"``, ``"w24"``), or a dict with ``dims``, ``depths`` and
            ``num_heads`` and, where they differ from the released ones (for all stages, or one a stage):
            ``kernel``, ``kernel_padding`` and ``stride`` of the patches, ``mlp_ratio``, ``qkv_bias``,
            ``class_token`` (in the last stage alone), and of the attention ``projection`` (``"conv"``,
            ``"avg"`` or ``"linear"``), ``projection_kernel``, ``query_padding``, ``query_stride``,
            ``key_padding`` and ``key_stride``; for the whole network ``activation`` (``"quick_gelu"`` or
            ``"gelu"``) and ``norm_eps``.
        output_norm: LayerNorm on every returned map (``norm0`` ...); the official code has none but for the
            class token.
        drop_path_rate: rate of the last block, growing linearly from 0 inside the last stage, as in all
            released networks; a sequence gives each stage its own.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the patches
            of a stage belong to it. In small batches synchronise the batch norms (``sync_bn="torch"``).

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``. A network of three stages has a
        fourth map, the last one after max pooling, with ``dims[2]`` channels.

    Raises:
        ConfigError: unknown size, key or activation, lists of different lengths, heads that do not divide the
            width, strides other than a first one and 2, queries of another size than the map, stages out of
            range.

    Example:
        >>> import torch
        >>> backbone = CvT(dict(dims=(8, 16, 24), depths=(1, 1, 1), num_heads=(1, 2, 2)))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 70, 50))]
        [(1, 8, 18, 13), (1, 16, 9, 7), (1, 24, 5, 4), (1, 24, 3, 2)]
    """

    converters = ("cvt",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(arch=dict(dims=(16, 24, 32), depths=(1, 1, 2), num_heads=(1, 2, 2)))
    }

    def __init__(
        self,
        arch: str | dict = "13",
        output_norm: bool = True,
        drop_path_rate: float | Sequence[float] = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        stages, eps = sizes["stages"], sizes["norm_eps"]
        dims, self.depths = [stage["dim"] for stage in stages], tuple(stage["depth"] for stage in stages)
        pooled = len(stages) == 3
        super().__init__(
            (*dims, dims[-1]) if pooled else dims,
            stages[0]["stride"],
            in_channels,
            out_indices,
            frozen_stages,
            with_cp,
            init_cfg,
        )
        if isinstance(drop_path_rate, (int, float)):
            drop_path_rate = [0.0] * (len(stages) - 1) + [drop_path_rate]
        if len(drop_path_rate) != len(stages):
            raise ConfigError(f"CvT: {len(drop_path_rate)} drop path rates, but {len(stages)} stages")
        self.stages, self.norm_eps = nn.ModuleList(), eps
        for before, stage, rate in zip([in_channels, *dims], stages, drop_path_rate):
            rates = [rate * i / max(stage["depth"] - 1, 1) for i in range(stage["depth"])]
            embed = ConvEmbed(
                before, stage["dim"], stage["kernel"], stage["stride"], stage["kernel_padding"], eps
            )
            token = torch.zeros(1, 1, stage["dim"]) if stage["class_token"] else None
            blocks = [_block(stage, rate, eps, sizes["activation"]) for rate in rates]
            self.stages.append(Stage(embed, token, blocks))
        if pooled:
            self.stages.append(Stage(nn.MaxPool2d(2, ceil_mode=True), None, []))
        if output_norm:
            for index, dim in zip(self.out_indices, self.out_channels):
                self.add_module(f"norm{index}", ChannelLayerNorm(dim, eps))
        self._initialise()
        self.freeze()

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> the patches of the first stage ``(B, C, H / 4, W / 4)``."""
        return self.stages[0].patch_embed(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Patches of the map before, then the blocks: ``(B, C, h, w)``, without the class token."""
        tokens, grid = self.tokens(index, x)
        return tokens_to_map(tokens[:, self.stages[index].num_prefix :], grid)

    def tokens(self, index: int, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens of stage ``index``, class token first if any, ``(B, P + h * w, C)``, and the grid."""
        stage = self.stages[index]
        x = stage.patch_embed(x) if index > 0 else x
        tokens, grid = map_to_tokens(x), (x.shape[2], x.shape[3])
        if stage.cls_token is not None:
            tokens = torch.cat([stage.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        for block in stage.blocks:
            tokens = self.run(block, tokens, grid, stage.num_prefix)
        return tokens, grid

    def embed(self, images: Tensor) -> Tensor:
        """What the official classifier's tail sees, of images without padding.

        Tokens of the last stage, class token first, ``(B, 1 + h * w, C)``; its map ``(B, C, h, w)`` where
        there is no class token.
        """
        self.check_images(images)
        x, last = self.stem(images), len(self.depths) - 1
        for index in range(last):
            x = self.stage(index, x)
        tokens, grid = self.tokens(last, x)
        return tokens if self.stages[last].num_prefix else tokens_to_map(tokens, grid)

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm and linear layer on the class token; without one, on the mean of the normed pixels."""
        last = len(self.depths) - 1
        dim = self.channels[last]
        if self.stages[last].num_prefix:
            return TokenHead(nn.LayerNorm(dim, eps=self.norm_eps), dim, num_classes)
        return NormedMapHead(ChannelLayerNorm(dim, self.norm_eps), dim, num_classes)

    def stem_modules(self) -> list[nn.Module]:
        """The patches of the first stage."""
        return [self.stages[0].patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """The patches of stage ``index``."""
        return self.stages[index].patch_embed

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage; none of the pooled map."""
        return self.stages[index].blocks

    def freeze(self) -> None:
        """As the base does; class tokens go with the blocks of their stage."""
        super().freeze()
        for index, stage in enumerate(self.stages):
            unused = index > self.out_indices[-1]
            if stage.cls_token is not None and (unused or index < self.frozen_stages):
                stage.cls_token.requires_grad_(False)

    def layer_ids(self) -> dict[str, int]:
        """As the base has it; what a stage adds to its patches has their depth."""
        ids = super().layer_ids()
        for name in ids:
            if name.endswith("cls_token"):
                stage = int(name.split(".")[1])
                ids[name] = sum(self.depths[:stage]) + (stage > 0)
        return ids

    def no_weight_decay(self) -> set[str]:
        """Class tokens; vectors and biases are the optimiser's rule."""
        return {name for name, _ in self.named_parameters() if name.endswith("cls_token")}

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, Stage) and module.cls_token is not None:
                nn.init.trunc_normal_(module.cls_token, std=0.02)


def _block(stage: dict, drop_path: float, eps: float, activation: str) -> TransformerBlock:
    dim, hidden = stage["dim"], int(stage["dim"] * stage["mlp_ratio"])
    attention = ConvolutionalAttention(
        dim,
        stage["heads"],
        stage["qkv_bias"],
        stage["projection"],
        stage["projection_kernel"],
        query=(stage["query_stride"], stage["query_padding"]),
        key=(stage["key_stride"], stage["key_padding"]),
    )
    return TransformerBlock(
        dim,
        stage["heads"],
        drop_path=drop_path,
        norm_eps=eps,
        attn=attention,
        mlp=FeedForward(dim, hidden, activation=ACTIVATIONS[activation]),
    )


def _sizes(arch: str | dict) -> dict:
    """``stages``, a dict of settings each, ``activation`` and ``norm_eps``."""
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"CvT has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        arch = ARCHITECTURES[arch]
    for key in arch:
        if key not in KEYS:
            raise ConfigError(f"CvT: arch has no key {key!r}{did_you_mean(key, KEYS)}")
    if not set(_SIZES) <= set(arch):
        raise ConfigError(f"CvT: arch needs dims, depths and num_heads, but has {', '.join(sorted(arch))}")
    count = len(arch["dims"])
    lists = {key: arch[key] for key in _SIZES}
    for key, released in _PER_STAGE.items():
        value = arch.get(key)
        if value is None:
            value = [released] * count
            value[0] = _STEM.get(key, released)
            value[-1] = True if key == "class_token" else value[-1]
        lists[key] = value if isinstance(value, (list, tuple)) else [value] * count
    for key, values in lists.items():
        if len(values) != count:
            raise ConfigError(f"CvT: {len(values)} {key}, but {count} dims: give one a stage")
    if any(stride != 2 for stride in lists["stride"][1:]):
        raise ConfigError(f"CvT: stride={tuple(lists['stride'])}, but all after the first one are 2")
    names = {"dims": "dim", "depths": "depth", "num_heads": "heads"}
    stages = [{names.get(key, key): values[i] for key, values in lists.items()} for i in range(count)]
    sizes = {key: arch.get(key, default) for key, default in _WHOLE.items()}
    if sizes["activation"] not in ACTIVATIONS:
        raise ConfigError(f"CvT: activation={sizes['activation']!r}, but there are {', '.join(ACTIVATIONS)}")
    return dict(sizes, stages=stages)

"""HorNet for dense prediction.

Rao et al., HorNet: Efficient High-Order Spatial Interactions with Recursive Gated Convolutions, NeurIPS 2022
(arXiv:2207.14284); official code: raoyongming/HorNet. Own are the padding to whole strides (the official code
drops trailing rows and columns) and drop path that frozen stages leave out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dense3d.backbones.layer_depths import grouped_depths
from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.gated_convolution import GatedConv
from dense3d.layers.spectral_filter import resize_spectrum
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS

_SIZES: dict[str, dict] = {
    "tiny": dict(base_dim=64),
    "small": dict(base_dim=96),
    "base": dict(base_dim=128),
    "large": dict(base_dim=192),
}
_SPECTRA = {"gf": ((14, 8), (7, 4)), "gf384": ((24, 13), (12, 7))}  # of images of 224 and 384 pixels
# Released sizes: 7 x 7 convolutions, or "gf", global-local filters in the last two stages. Segmentors and the
# large detector have "gf384", and start from weights of "gf".
ARCHITECTURES: dict[str, dict] = {
    **_SIZES,
    **{
        f"{size}_{kind}": dict(width, filters=(None, None, *spectra))
        for size, width in _SIZES.items()
        for kind, spectra in _SPECTRA.items()
    },
}
_DEFAULTS = dict(depths=(2, 3, 18, 2), orders=(2, 3, 4, 5), filters=(None,) * 4, scale=1 / 3)
INITIALISATIONS = ("normal", "uniform")


class Stage(nn.Module):
    """The down-sampling before the blocks of one resolution, and these."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)


class PatchConv(nn.Conv2d):
    """Squares that do not overlap to pixels of a smaller map, ``(B, H, W, C)`` to ``(B, H/s, W/s, C')``.

    Trailing rows and columns are dropped.

    Example:
        >>> import torch
        >>> PatchConv(4, 8, 2)(torch.zeros(1, 5, 6, 4)).shape
        torch.Size([1, 2, 3, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The smaller map."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@MODELS.register_module()
class HorNet(StagedBackbone):
    """HorNet, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with ``base_dim`` and, where they differ from
            the released ones, one a stage of ``depths``, ``orders`` (of the gated convolutions) and
            ``filters`` (rows and columns of the spectrum of a global-local filter, None for a depthwise 7 x 7
            convolution), and ``scale`` (of what is filtered).
        layer_scale: initial layer scale; 0 or less means none.
        output_norm: LayerNorm on every returned map (``norm0`` ...).
        initialisation: ``"normal"``, of deviation 0.02 and truncated, or ``"uniform"`` (Xavier).
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the
            down-sampling before a stage belongs to that stage.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, base_dim * 2 ** i, ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size, key or initialisation, lists that are not one a stage, widths that a gated
            convolution cannot halve, stages out of range.

    Example:
        >>> import torch
        >>> backbone = HorNet(dict(base_dim=16, depths=(1, 1, 1, 1)), out_indices=(0, 2))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 16, 9, 13), (1, 64, 3, 4)]
    """

    converters = ("hornet",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "7x7": dict(arch=dict(base_dim=16, depths=(1, 1, 1, 1))),
        "global filter": dict(
            arch=dict(base_dim=16, depths=(1, 1, 1, 1), filters=(None, None, (4, 3), (2, 2)))
        ),
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        layer_scale: float = 1e-6,
        output_norm: bool = True,
        initialisation: str = "normal",
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        self.depths = tuple(sizes["depths"])
        channels = [sizes["base_dim"] * 2**i for i in range(4)]
        super().__init__(channels, 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        if initialisation not in INITIALISATIONS:
            raise ConfigError(
                f"HorNet: initialisation={initialisation!r}{did_you_mean(initialisation, INITIALISATIONS)}: "
                f"there are {', '.join(INITIALISATIONS)}"
            )
        self.patch_embed = nn.Sequential(
            PatchConv(in_channels, channels[0], self.patch_size), nn.LayerNorm(channels[0], eps=1e-6)
        )
        last = max(sum(self.depths) - 1, 1)
        rates = (drop_path_rate * i / last for i in range(sum(self.depths)))
        self.stages = nn.ModuleList()
        for index, (dim, depth) in enumerate(zip(channels, self.depths)):
            before = channels[index - 1]
            norm_and_merging = (nn.LayerNorm(before, eps=1e-6), PatchConv(before, dim, 2))
            blocks = [
                TransformerBlock(
                    dim,
                    num_heads=1,
                    layer_scale=layer_scale if layer_scale > 0 else None,
                    drop_path=next(rates),
                    attn=GatedConv(dim, sizes["orders"][index], sizes["scale"], sizes["filters"][index]),
                )
                for _ in range(depth)
            ]
            self.stages.append(Stage(nn.Sequential(*norm_and_merging) if index else nn.Identity(), blocks))
        if output_norm:
            for index, dim in zip(self.out_indices, self.out_channels):
                self.add_module(f"norm{index}", nn.LayerNorm(dim, eps=1e-6))
        self._initialise(initialisation)
        self.freeze()

    def _initialise(self, kind: str) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                if kind == "normal":
                    nn.init.trunc_normal_(module.weight, std=0.02)
                else:
                    nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def pad_multiple(self) -> int:
        """The largest stride: nothing is left over at any down-sampling."""
        return 32

    @property
    def num_layers(self) -> int:
        """Depth at which the head of an official detector stands, less 1: 12 for the released sizes."""
        return 3 + math.ceil(self.depths[2] / 2)

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, H / 4, W / 4, C)``."""
        return self.patch_embed(images.permute(0, 2, 3, 1))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before and run the blocks: ``(B, h, w, C)``."""
        x = self.downsampling(index)(x)
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def to_map(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2).contiguous()

    def stem_modules(self) -> list[nn.Module]:
        """The patch embedding."""
        return [self.patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """A norm and a strided convolution before stage ``index``."""
        return self.stages[index].downsample

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.stages[index].blocks

    def layer_ids(self, num_layers: int | None = None) -> dict[str, int]:
        """Depth of every parameter, see :func:`grouped_depths`; two blocks of stage 2 count as one."""
        return grouped_depths(self, self.num_layers if num_layers is None else num_layers, group=2)

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize spectra of filters of another size, as the official segmentors do (bilinear)."""
        own, adapted = self.state_dict(), dict(state)
        for name, weight in state.items():
            if name.endswith("spectral.weight") and name in own and weight.shape != own[name].shape:
                adapted[name] = resize_spectrum(weight, own[name].shape[1:3])
        resized = [name for name in state if adapted[name] is not state[name]]
        if resized:
            self.log(
                f"{len(resized)} filters of the checkpoint are of another size and were resized to that of "
                f"this configuration, such as {resized[0]}"
            )
        return adapted


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"HorNet has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        return {**_DEFAULTS, **ARCHITECTURES[arch]}
    known = ("base_dim", *_DEFAULTS)
    unknown = sorted(set(arch) - set(known))
    if unknown:
        raise ConfigError(f"HorNet: arch has no key {unknown[0]!r}{did_you_mean(unknown[0], known)}")
    if "base_dim" not in arch:
        raise ConfigError("HorNet: arch needs base_dim, the channels of the first map")
    sizes = {**_DEFAULTS, **arch}
    for name in ("depths", "orders", "filters"):
        if len(sizes[name]) != 4:
            raise ConfigError(f"HorNet has four stages, but arch has {len(sizes[name])} {name}")
    return sizes

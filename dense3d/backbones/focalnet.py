"""FocalNet for dense prediction.

Yang et al., Focal Modulation Networks, NeurIPS 2022 (arXiv:2203.11926). The network is timm's; own are the
padding of sizes that are no multiple of the patch, as in the official detection code, and the output norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.map_head import NormedMapHead
from dense3d.optional import require
from dense3d.registry import MODELS

_LARGE = dict(depths=(2, 2, 18, 2), overlapping_patches=True, post_norm=True, layer_scale=1e-4)
# divided by the levels in detection; timm's classifiers of these two sizes are not
_FL4 = dict(focal_levels=4, focal_window=3, normalize_modulator=True)
_HUGE = dict(embed_dim=352, focal_window=3, modulation_norm=True)

# Released sizes; "srf" and "lrf" are small and large receptive fields, "fl" the number of focal levels.
ARCHITECTURES: dict[str, dict] = {
    "tiny_srf": dict(embed_dim=96, depths=(2, 2, 6, 2), focal_levels=2),
    "tiny_lrf": dict(embed_dim=96, depths=(2, 2, 6, 2), focal_levels=3),
    "small_srf": dict(embed_dim=96, depths=(2, 2, 18, 2), focal_levels=2),
    "small_lrf": dict(embed_dim=96, depths=(2, 2, 18, 2), focal_levels=3),
    "base_srf": dict(embed_dim=128, depths=(2, 2, 18, 2), focal_levels=2),
    "base_lrf": dict(embed_dim=128, depths=(2, 2, 18, 2), focal_levels=3),
    "large_fl3": dict(embed_dim=192, focal_levels=3, focal_window=5, **_LARGE),
    "large_fl4": dict(embed_dim=192, **_FL4, **_LARGE),
    "xlarge_fl3": dict(embed_dim=256, focal_levels=3, focal_window=5, **_LARGE),
    "xlarge_fl4": dict(embed_dim=256, **_FL4, **_LARGE),
    "huge_fl3": dict(focal_levels=3, **_HUGE, **_LARGE),
    "huge_fl4": dict(focal_levels=4, **_HUGE, **_LARGE),
}
LINEAR = ("modulation.f", "modulation.proj", "mlp.fc1", "mlp.fc2")
_KEYS = {
    "embed_dim",
    "depths",
    "focal_levels",
    "focal_window",
    "overlapping_patches",
    "post_norm",
    "modulation_norm",
    "normalize_modulator",
    "layer_scale",
    "mlp_ratio",
}


@MODELS.register_module()
class FocalNet(StagedBackbone):
    """FocalNet, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with ``embed_dim`` and ``depths`` and, where
            they differ from the small sizes, ``focal_levels`` (2), ``focal_window`` (3: kernel of the first
            level, the next ones are 2 larger each), both one number or one a stage, ``overlapping_patches``,
            ``post_norm``, ``modulation_norm``, ``normalize_modulator`` (context divided by levels + 1),
            ``layer_scale`` and ``mlp_ratio`` (4).
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the
            down-sampling before a stage belongs to the stage before, as in the official code.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, embed_dim * 2 ** i, ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, levels or windows not one a stage, an even window, stages out of
            range.
        MissingDependencyError: the installed timm has no FocalNet.

    Example:
        >>> import torch
        >>> backbone = FocalNet(dict(embed_dim=8, depths=(1, 1)), out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    downsampling_ends_stage = True
    converters = ("focalnet",)
    tiny_variants: ClassVar[dict[str, dict]] = {"": dict(arch=dict(embed_dim=16, depths=(1, 1, 2, 1)))}

    def __init__(
        self,
        arch: str | dict = "tiny_lrf",
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        self.depths = tuple(sizes["depths"])
        channels = [sizes["embed_dim"] * 2**i for i in range(len(self.depths))]
        super().__init__(channels, 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        focalnet = require("timm.models.focalnet", "FocalNet")
        stages = len(self.depths)
        self.body = focalnet.FocalNet(
            in_chans=in_channels,
            num_classes=0,
            embed_dim=sizes["embed_dim"],
            depths=self.depths,
            mlp_ratio=sizes.get("mlp_ratio", 4.0),
            focal_levels=_per_stage("focal_levels", sizes.get("focal_levels", 2), stages),
            focal_windows=_per_stage("focal_window", sizes.get("focal_window", 3), stages, odd=True),
            use_overlap_down=sizes.get("overlapping_patches", False),
            use_post_norm=sizes.get("post_norm", False),
            use_post_norm_in_modulation=sizes.get("modulation_norm", False),
            normalize_modulator=sizes.get("normalize_modulator", False),
            layerscale_value=sizes.get("layer_scale"),
            drop_path_rate=drop_path_rate,
        )
        del self.body.norm, self.body.head
        self._initialise()
        norm = type(self.body.stem.norm)
        for index, dim in zip(self.out_indices, self.out_channels):
            self.add_module(f"norm{index}", norm(dim, eps=1e-5))
        self.freeze()

    def _initialise(self) -> None:
        """Convolutions start as PyTorch has them, as in the official code, not small as timm has them.

        Those of ``LINEAR`` are linear layers there and keep timm's start, a deviation of 0.02.
        """
        for name, module in self.body.named_modules():
            if isinstance(module, nn.Conv2d) and not name.endswith(LINEAR):
                module.reset_parameters()

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, C, H / 4, W / 4)``."""
        return self.body.stem(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before, padded to an even size, and run the blocks: ``(B, C, h, w)``."""
        if index > 0:
            x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
            x = self.downsampling(index)(x)
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm of every pixel, mean, linear layer."""
        channels = self.out_channels[-1]
        return NormedMapHead(ChannelLayerNorm(channels, eps=1e-5), channels, num_classes)

    def stem_modules(self) -> list[nn.Module]:
        """The patch embedding."""
        return [self.body.stem]

    def downsampling(self, index: int) -> nn.Module:
        """The strided convolution and its norm before stage ``index``."""
        return self.body.layers[index].downsample

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.body.layers[index].blocks

    def layer_ids(self) -> dict[str, int]:
        """Depth of every parameter, counted as for Swin.

        0 the stem, then one id a block over all stages; a down-sampling has the id of the block before it;
        output norms count with the head: last block + 1.
        """
        ids = {}
        for name, _ in self.named_parameters():
            parts = name.split(".")
            if parts[0] != "body":
                ids[name] = sum(self.depths) + 1
            elif parts[1] == "stem":
                ids[name] = 0
            else:
                stage = int(parts[2])
                ids[name] = sum(self.depths[:stage]) + (int(parts[4]) + 1 if parts[3] == "blocks" else 0)
        return ids


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"FocalNet has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        return ARCHITECTURES[arch]
    unknown = sorted(set(arch) - _KEYS)
    if unknown:
        raise ConfigError(f"FocalNet: arch has no key {unknown[0]!r}{did_you_mean(unknown[0], _KEYS)}")
    if not {"embed_dim", "depths"} <= set(arch):
        raise ConfigError("FocalNet: arch needs embed_dim and depths")
    return arch


def _per_stage(name: str, value: int | Sequence[int], stages: int, odd: bool = False) -> list[int]:
    values = [value] * stages if isinstance(value, int) else list(value)
    if len(values) != stages:
        raise ConfigError(f"FocalNet: {name} has {len(values)} entries, but there are {stages} stages")
    if any(v < 1 or (odd and v % 2 == 0) for v in values):
        raise ConfigError(f"FocalNet: {name}={value}: give {'odd ' if odd else ''}numbers of 1 or more")
    return values

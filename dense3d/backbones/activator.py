"""Activator: a gated unit in the place of attention.

After "Activator", arXiv:2405.15953; official code: Abdullah-88/Activator, a classifier of small images.
Nothing in it mixes tokens: a patch sees itself alone, and the class scores do not change when the patches
change places. Dense heads want ``local=True``, which is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from dense3d.backbones.embedded_stages import EmbeddedStages, Stage
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.gated_unit import GatedUnit
from dense3d.layers.mlp import FeedForward
from dense3d.registry import MODELS

# The network of the repository's CIFAR-10 experiments, and one of ours with the strides of dense heads.
ARCHITECTURES: dict[str, dict] = {
    "published": dict(dims=(256,), hidden_dims=(512,), depths=(4,)),
    "four_stages": dict(dims=(64, 128, 256, 512), hidden_dims=(128, 256, 512, 1024), depths=(2, 2, 4, 2)),
}
_KEYS = ("dims", "hidden_dims", "depths")


class ActivatorBlock(nn.Module):
    """``x + unit(norm(x))``, then ``x + mlp(norm(x))``: one norm serves both.

    Args:
        dim: channels.
        hidden_dim: channels of the unit's gate and of the MLP.
        mlp: whether there is an MLP.
        local: whether a depthwise 3x3 convolution with a residual comes first.

    Shape:
        ``(B, dim, h, w)`` to the same.
    """

    def __init__(self, dim: int, hidden_dim: int, mlp: bool, local: bool) -> None:
        super().__init__()
        self.local = nn.Conv2d(dim, dim, 3, padding=1, groups=dim) if local else None
        self.norm = nn.LayerNorm(dim)
        self.unit = GatedUnit(dim, hidden_dim)
        self.mlp = FeedForward(dim, hidden_dim) if mlp else None

    def forward(self, x: Tensor) -> Tensor:
        """``(B, dim, h, w)`` to the same."""
        if self.local is not None:
            x = x + self.local(x)
        x = x.permute(0, 2, 3, 1)  # (B, h, w, dim)
        x = x + self.unit(self.norm(x))
        if self.mlp is not None:
            x = x + self.mlp(self.norm(x))
        return x.permute(0, 3, 1, 2)


class MeanHead(nn.Module):
    """Mean over the pixels and a linear layer, without a norm."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to ``(B, num_classes)``."""
        return self.head(x.mean(dim=(2, 3)))


@MODELS.register_module()
class Activator(EmbeddedStages):
    """Activator; maps of strides p, 2 p, ... for patches of p pixels.

    Args:
        arch: ``"published"``, one stage; ``"four_stages"``, ours; or a dict with ``dims``, ``hidden_dims``
            and ``depths``, one of each a stage. Later stages begin with patches of 2 x 2.
        mlp: whether blocks have an MLP beside the unit; the paper's second network has none.
        local: whether a depthwise 3x3 convolution opens each block. Without it, as published, the receptive
            field of a pixel of a map is its patch.
        patch_size, in_channels, out_indices, frozen_stages, with_cp, init_cfg: see
            :class:`dense3d.backbones.staged.StagedBackbone`; ``out_indices`` are all unless given.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size, lists of different lengths.

    Example:
        >>> import torch
        >>> backbone = Activator(dict(dims=(8, 16), hidden_dims=(16, 32), depths=(1, 1)), local=True)
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    converters = ("activator",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "local": dict(
            arch=dict(dims=(16, 24, 32, 48), hidden_dims=(32, 48, 64, 96), depths=(1, 1, 2, 1)), local=True
        ),
        "published": dict(arch=dict(dims=(32,), hidden_dims=(64,), depths=(2,)), patch_size=16),
    }

    def __init__(
        self,
        arch: str | dict = "published",
        mlp: bool = True,
        local: bool = False,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        self.depths = tuple(sizes["depths"])
        indices = range(len(self.depths)) if out_indices is None else out_indices
        super().__init__(sizes["dims"], patch_size, in_channels, indices, frozen_stages, with_cp, init_cfg)
        self.stages = nn.ModuleList()
        for index, (before, dim) in enumerate(pairwise((in_channels, *self.channels))):
            side, hidden_dim = patch_size if index == 0 else 2, sizes["hidden_dims"][index]
            blocks = [ActivatorBlock(dim, hidden_dim, mlp, local) for _ in range(self.depths[index])]
            self.stages.append(Stage(nn.Conv2d(before, dim, side, side), blocks))
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """The largest stride: nothing is left over at any embedding."""
        return self.patch_size * 2 ** (len(self.channels) - 1)

    def class_head(self, num_classes: int) -> nn.Module:
        """Mean over the pixels, linear layer."""
        return MeanHead(self.channels[-1], num_classes)


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"Activator has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        return ARCHITECTURES[arch]
    if set(arch) != set(_KEYS):
        raise ConfigError(f"Activator: arch needs {', '.join(_KEYS)}, but has {', '.join(sorted(arch))}")
    if len({len(arch[key]) for key in _KEYS}) != 1:
        lengths = ", ".join(f"{len(arch[key])} {key}" for key in _KEYS)
        raise ConfigError(f"Activator: one of each a stage is needed, but arch has {lengths}")
    return arch

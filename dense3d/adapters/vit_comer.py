"""ViT-CoMer: a plain ViT with a convolutional pyramid beside it and an exchange both ways.

Xia et al., CVPR 2024, arXiv 2403.07392 (Traffic-X/ViT-CoMer). Official checkpoints:
``dense3d convert vit-comer``. The official settings, with ``ffn_ratio=0.25``, ``num_points=4``,
``stem_width=64``:

=====  =========  ==========  ===========  ===================================================
size   ViT width  heads here  value_ratio  mrfp_ratio in segmentation (0.5 elsewhere)
=====  =========  ==========  ===========  ===================================================
T      192        6           1.0          6.0
S      384        6           1.0          1.5
B      768        12          0.5          1.0
L      1024       16          0.5
=====  =========  ==========  ===========  ===================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.adapters.base import STRIDES, TOKEN_STRIDE, ViTAdapter, initialise_added
from dense3d.adapters.interaction import (
    CnnToVit,
    CtiStage,
    MultiReceptiveFieldPyramid,
    PyramidAttention,
    VitToCnn,
    join_pyramid,
    split_pyramid,
)
from dense3d.backbones.vit_architectures import TINY
from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid, tokens_to_map
from dense3d.registry import MODELS


class ConvolutionalStem(nn.Module):
    """Strided 3x3 convolutions with synchronised batch norm and ReLU; a 1x1 convolution brings each to D.

    Args:
        width: channels at stride 4; stride 8 has twice, strides 16 and 32 four times as many.
        dim: output channels, D.
        in_channels: channels of the images.

    Shape:
        images ``(B, in_channels, H, W)`` -> four maps ``(B, D, H / s, W / s)``, s = 4, 8, 16, 32.

    Example:
        >>> import torch
        >>> [tuple(f.shape) for f in ConvolutionalStem(4, 6).eval()(torch.zeros(1, 3, 64, 32))]
        [(1, 6, 16, 8), (1, 6, 8, 4), (1, 6, 4, 2), (1, 6, 2, 1)]
    """

    def __init__(self, width: int, dim: int, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_convolution(in_channels, width, stride=2),
            *_convolution(width, width),
            *_convolution(width, width),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.conv2 = nn.Sequential(*_convolution(width, 2 * width, stride=2))
        self.conv3 = nn.Sequential(*_convolution(2 * width, 4 * width, stride=2))
        self.conv4 = nn.Sequential(*_convolution(4 * width, 4 * width, stride=2))
        self.fc1 = nn.Conv2d(width, dim, 1)
        self.fc2 = nn.Conv2d(2 * width, dim, 1)
        self.fc3 = nn.Conv2d(4 * width, dim, 1)
        self.fc4 = nn.Conv2d(4 * width, dim, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four maps."""
        c1 = self.stem(images)
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        return self.fc1(c1), self.fc2(c2), self.fc3(c3), self.fc4(c4)


def _convolution(channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.SyncBatchNorm(out_channels),
        nn.ReLU(inplace=True),
    ]


@MODELS.register_module()
class ViTCoMer(ViTAdapter):
    """ViT-CoMer around any plain ViT.

    The detection and segmentation variants differ in ``stagewise`` and ``mrfp_ratio``; the BEiT variant of
    the Co-DETR branch is the detection variant around a BEiT with ``gamma_init=1e-6``. The official code
    leaves class tokens out: ``vit=dict(..., prefix_tokens=False)``. Any that take part run with the patches
    and stay out of the exchange.

    Args:
        vit: config of a :class:`dense3d.backbones.vit.VisionTransformer`; its stochastic depth and
            checkpointing also hold for the parts added here.
        stages: first and last block (inclusive) of each stage; four equal ones unless given.
        num_heads: heads of the deformable attentions.
        num_points: sampling points of a head on each scale.
        value_ratio: width of their values in multiples of the ViT's width D.
        ffn_ratio: width of the feed-forward networks in multiples of D.
        mrfp_ratio: width of the multi-receptive-field pyramids in multiples of D.
        stem_width: channels of the convolutional stem at stride 4.
        stagewise: each map gets the ViT's tokens of its own stage (segmentation), not those of the last.
        cnn_to_vit, vit_to_cnn: directions of the exchange, one value or one a stage.
        cnn_interaction: whether the scales interact after the ViT's tokens were added, one value or one a
            stage.
        extra_interactions: further exchanges towards the pyramid after the last stage.
        cnn_feed_forward: whether the exchanges towards the pyramid have feed-forward networks.
        add_vit_feature: whether the ViT's tokens are added to the maps at the end.
        gamma_init: start of the factor of what the pyramid gives to the ViT.
        with_vit_map: whether the ViT's last map, not normalised, stands before the four, as
            :class:`dense3d.detection2d.vit_comer_neck.ViTCoMerNeck` takes them.
        init_cfg: mmengine initialisation.

    Shape:
        images ``(B, in_channels, H, W)`` -> four maps ``(B, D, ceil(H / s), ceil(W / s))``, s = 4, 8, 16,
        32; before them one more with s = 16 for ``with_vit_map``. Images are padded inside to multiples of
        32.

    Raises:
        ConfigError: the stages do not follow one another through the whole ViT, or arguments do not fit.

    Example:
        >>> arch = dict(name="deit_tiny_patch16", depth=4)
        >>> model = ViTCoMer(dict(arch=arch, prefix_tokens=False)).eval()
        >>> [tuple(f.shape) for f in model(torch.zeros(1, 3, 64, 70))]
        [(1, 192, 16, 18), (1, 192, 8, 9), (1, 192, 4, 5), (1, 192, 2, 3)]
    """

    tiny_variants: ClassVar[dict[str, dict]] = {
        **{
            name: dict(vit=dict(arch=TINY[name]), num_heads=4, stem_width=8)
            for name in ("DeiT", "BEiT", "DINOv3")
        },
        "DeiT, segmentation": dict(
            vit=dict(arch=TINY["DeiT"]), num_heads=4, stem_width=8, stagewise=True, mrfp_ratio=1.0
        ),
    }

    def __init__(
        self,
        vit: dict,
        stages: Sequence[tuple[int, int]] | None = None,
        num_heads: int = 6,
        num_points: int = 4,
        value_ratio: float = 1.0,
        ffn_ratio: float = 0.25,
        mrfp_ratio: float = 0.5,
        stem_width: int = 64,
        stagewise: bool = False,
        cnn_to_vit: bool | Sequence[bool] = True,
        vit_to_cnn: bool | Sequence[bool] = True,
        cnn_interaction: bool | Sequence[bool] = True,
        extra_interactions: int = 4,
        cnn_feed_forward: bool = True,
        add_vit_feature: bool = True,
        gamma_init: float = 0.0,
        with_vit_map: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(vit, init_cfg=init_cfg)
        dim = self.embed_dims
        self.with_vit_map = with_vit_map
        if with_vit_map:
            self.out_channels += (dim,)
            self.out_strides = (TOKEN_STRIDE, *STRIDES)
        self.stages = _stages(stages, self.vit.arch.depth)
        if stagewise and len(self.stages) != 4:
            raise ConfigError(f"stagewise=True needs a stage for each of the 4 maps, not {len(self.stages)}")
        self.stagewise, self.add_vit_feature = stagewise, add_vit_feature
        shared = (dim, num_heads, num_points, value_ratio, ffn_ratio, self.vit.blocks[-1].drop_path.rate)
        directions = [
            _per_stage(name, value, len(self.stages))
            for name, value in (
                ("cnn_to_vit", cnn_to_vit),
                ("vit_to_cnn", vit_to_cnn),
                ("cnn_interaction", cnn_interaction),
            )
        ]
        self.interactions = nn.ModuleList()
        for index, (inward, outward, interact) in enumerate(zip(*directions)):
            exchange = partial(VitToCnn, *shared, interact=interact, feed_forward=cnn_feed_forward)
            to_cnn = [exchange()] if outward else []
            if index == len(self.stages) - 1:
                extra = partial(exchange, extra=True)
                to_cnn += [extra() for _ in range(extra_interactions)]
            mrfp = MultiReceptiveFieldPyramid(dim, int(dim * mrfp_ratio)) if inward else None
            to_vit = CnnToVit(*shared, init_value=gamma_init) if inward else None
            self.interactions.append(CtiStage(mrfp, to_vit, to_cnn, self.vit.with_cp))
        self.spm = ConvolutionalStem(stem_width, dim, self.vit.arch.in_channels)
        self.level_embed = nn.Parameter(torch.empty(3, dim))
        self.up = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.norms = nn.ModuleList(nn.SyncBatchNorm(dim) for _ in range(4))
        self._initialise()

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of images whose sides are multiples of 32."""
        c1, outputs, grid = self.interact(images)
        patches = [p for p, _ in outputs]
        maps = self.merge(c1, outputs[-1][1], patches, grid)
        return (tokens_to_map(patches[-1], grid), *maps) if self.with_vit_map else maps

    def interact(self, images: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Grid]:
        """Stem and stages.

        Returns:
            the map at stride 4 ``(B, D, 4 h, 4 w)``; patches ``(B, h * w, D)`` and pyramid tokens
            ``(B, N, D)`` after each stage; and the grid ``(h, w)``.
        """
        c1, *maps = self.spm(images)
        c = join_pyramid([m + e[:, None, None] for m, e in zip(maps, self.level_embed)])
        tokens, grid = self.embed(images)
        outputs = []
        for stage, (first, last) in zip(self.interactions, self.stages):
            run = partial(self.vit.run_blocks, grid=grid, start=first, stop=last + 1)
            tokens, c = stage(tokens, c, grid, self.vit.num_prefix, run)
            outputs.append((tokens[:, self.vit.num_prefix :], c))
        return c1, outputs, grid

    def merge(self, c1: Tensor, c: Tensor, stage_patches: list[Tensor], grid: Grid) -> tuple[Tensor, ...]:
        """Sum of the pyramid and the resized ViT maps, each scale with its own norm.

        Args:
            c1: ``(B, D, 4 h, 4 w)``.
            c: pyramid tokens ``(B, N, D)``.
            stage_patches: patches ``(B, h * w, D)`` after each stage.
            grid: ``(h, w)``.
        """
        c2, c3, c4 = split_pyramid(c, grid)
        maps = [c1 + self.up(c2), c2, c3, c4]
        if self.add_vit_feature:
            patches = stage_patches if self.stagewise else stage_patches[-1:] * 4
            maps = [m + _resized(tokens_to_map(p, grid), s) for m, p, s in zip(maps, patches, (4, 2, 1, 0.5))]
        return tuple(norm(m) for norm, m in zip(self.norms, maps))

    def no_weight_decay(self) -> set[str]:
        """None: the official recipe decays position tables too."""
        return set()

    def _initialise(self) -> None:
        for module in (self.spm, self.interactions, self.up):
            initialise_added(module)
        for module in self.interactions.modules():
            if isinstance(module, PyramidAttention):
                module.reset_parameters()
        nn.init.normal_(self.level_embed)


def _resized(x: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _stages(stages: Sequence[tuple[int, int]] | None, depth: int) -> list[tuple[int, int]]:
    if stages is None:
        stages = [(depth * k // 4, depth * (k + 1) // 4 - 1) for k in range(4)]
    stages = [tuple(stage) for stage in stages]
    expected = 0
    for first, last in stages:
        if first != expected or not first <= last < depth:
            raise ConfigError(
                f"stages {stages} of a ViTCoMer with {depth} blocks: each is (first, last) and starts where "
                "the one before it ends"
            )
        expected = last + 1
    if expected < depth:
        raise ConfigError(
            f"stages {stages} of a ViTCoMer with {depth} blocks leave out those from {expected} on: end the "
            f"last stage at {depth - 1}, or give the ViT fewer blocks (arch.depth={expected})"
        )
    return stages


def _per_stage(name: str, value: bool | Sequence[bool], count: int) -> list[bool]:
    values = [value] * count if isinstance(value, bool) else list(value)
    if len(values) != count:
        raise ConfigError(f"{name} has {len(values)} entries, but the ViTCoMer has {count} stages")
    return values

"""Plain ways from a vision transformer to four scales: upsample and pool, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dense3d.adapters.base import ViTAdapter, initialise_added
from dense3d.backbones.vit_architectures import TINY
from dense3d.errors import ConfigError
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.patch_embed import map_to_tokens, tokens_to_map
from dense3d.registry import MODELS


@MODELS.register_module()
class SimplePyramid(ViTAdapter):
    """ViTDet's simple feature pyramid: four scales from the last map alone.

    Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022, section 3:
    transposed convolutions for strides 4 and 8, max pooling for 32, then a 1x1 and a 3x3 convolution on each,
    with layer norms over the channels.

    Args:
        vit: config of a :class:`dense3d.backbones.vit.VisionTransformer`.
        out_channels: channels of every map.
        init_cfg: mmengine initialisation.

    Shape:
        images ``(B, 3, H, W)`` -> four maps ``(B, out_channels, ceil(H / s), ceil(W / s))``, s = 4, 8, 16,
        32.

    Example:
        >>> import torch
        >>> arch = dict(name="deit_tiny_patch16", depth=1)
        >>> [tuple(f.shape) for f in SimplePyramid(dict(arch=arch))(torch.zeros(1, 3, 64, 70))]
        [(1, 256, 16, 18), (1, 256, 8, 9), (1, 256, 4, 5), (1, 256, 2, 3)]
    """

    tiny_variants: ClassVar[dict[str, dict]] = {
        name: dict(vit=dict(arch=TINY[name]), out_channels=32) for name in ("MAE", "DINOv3")
    }

    def __init__(self, vit: dict, out_channels: int = 256, init_cfg: dict | None = None) -> None:
        super().__init__(vit, out_channels, multiple=16, init_cfg=init_cfg)
        dim = self.embed_dims
        half, quarter = dim // 2, dim // 4
        to_stride_4 = [
            nn.ConvTranspose2d(dim, half, 2, stride=2),
            ChannelLayerNorm(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, stride=2),
        ]
        rescale = (
            (to_stride_4, quarter),
            ([nn.ConvTranspose2d(dim, half, 2, stride=2)], half),
            ([], dim),
            ([nn.MaxPool2d(2, ceil_mode=True)], dim),
        )
        self.scales = nn.ModuleList(
            nn.Sequential(
                *layers,
                nn.Conv2d(channels, out_channels, 1, bias=False),
                ChannelLayerNorm(out_channels),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                ChannelLayerNorm(out_channels),
            )
            for layers, channels in rescale
        )

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """The four maps of images whose sides are multiples of 16."""
        tokens, grid = self.embed(images)
        tokens = self.vit.normalise(self.vit.run_blocks(tokens, grid))
        features = tokens_to_map(tokens[:, self.vit.num_prefix :], grid)
        return tuple(scale(features) for scale in self.scales)


@MODELS.register_module()
class RescaledPyramid(ViTAdapter):
    """Maps of four blocks, the first enlarged four times, the second twice, the last pooled.

    The baseline of ViT-Adapter and ViT-CoMer (``norm="group"``, ``token_norm=True``) and the segmentation
    models of BEiT (``norm="batch"``).

    Args:
        vit: config of a :class:`dense3d.backbones.vit.VisionTransformer`.
        blocks: four blocks, ascending, or one that serves all scales; four evenly spaced unless given. Later
            ones do not run, and are frozen.
        norm: between the two transposed convolutions: ``"group"`` (32 groups) or ``"batch"`` (SyncBN).
        token_norm: whether each of the four maps has a layer norm of its own before it is rescaled.
        init_cfg: mmengine initialisation.

    Shape:
        images ``(B, 3, H, W)`` -> four maps ``(B, D, ceil(H / s), ceil(W / s))``, s = 4, 8, 16, 32.

    Raises:
        ConfigError: ``blocks`` are not one or four, or ``norm`` is not one of the two.

    Example:
        >>> import torch
        >>> arch = dict(name="beit_base_patch16", depth=4, embed_dim=64, num_heads=2)
        >>> pyramid = RescaledPyramid(dict(arch=arch), norm="batch").eval()
        >>> [tuple(f.shape) for f in pyramid(torch.zeros(1, 3, 64, 70))]
        [(1, 64, 16, 18), (1, 64, 8, 9), (1, 64, 4, 5), (1, 64, 2, 3)]
    """

    tiny_variants: ClassVar[dict[str, dict]] = {
        "BEiT": dict(vit=dict(arch=TINY["BEiT"]), norm="batch"),
        "DINOv2": dict(vit=dict(arch=TINY["DINOv2"]), token_norm=True),
    }

    def __init__(
        self,
        vit: dict,
        blocks: Sequence[int] | None = None,
        norm: str = "group",
        token_norm: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(vit, multiple=16, init_cfg=init_cfg)
        dim, depth = self.embed_dims, self.vit.arch.depth
        self.block_indices = _four(blocks or [(k * depth) // 4 - 1 for k in range(1, 5)], depth)
        self.vit.freeze_after(self.block_indices[-1])
        if norm not in ("group", "batch"):
            raise ConfigError(f"norm={norm!r} of a RescaledPyramid: use 'group' or 'batch'")
        layer = nn.GroupNorm(32, dim) if norm == "group" else nn.SyncBatchNorm(dim)
        eps = self.vit.arch.norm_eps
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps=eps) for _ in range(4)) if token_norm else None
        self.up4 = nn.Sequential(
            nn.ConvTranspose2d(dim, dim, 2, stride=2),
            layer,
            nn.GELU(),
            nn.ConvTranspose2d(dim, dim, 2, stride=2),
        )
        self.up2 = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        initialise_added(self.up4)
        initialise_added(self.up2)

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """The four maps of images whose sides are multiples of 16."""
        tokens, grid = self.embed(images)
        taken, start = [], 0
        for index in self.block_indices:
            tokens = self.vit.run_blocks(tokens, grid, start, index + 1)
            start = index + 1
            taken.append(tokens_to_map(self.vit.normalise(tokens)[:, self.vit.num_prefix :], grid))
        if self.norms is not None:
            taken = [tokens_to_map(norm(map_to_tokens(m)), grid) for norm, m in zip(self.norms, taken)]
        return self.up4(taken[0]), self.up2(taken[1]), taken[2], self.pool(taken[3])


def _four(blocks: Sequence[int], depth: int) -> tuple[int, ...]:
    blocks = tuple(blocks) * 4 if len(blocks) == 1 else tuple(blocks)
    if len(blocks) != 4 or list(blocks) != sorted(blocks) or not 0 <= blocks[0] <= blocks[-1] < depth:
        raise ConfigError(
            f"blocks={blocks} of a RescaledPyramid: give one or four of 0..{depth - 1}, ascending"
        )
    return blocks

"""ViT-ResNAS, stages of transformer blocks with residual spatial reduction between them, found by search.

Liao et al., "Searching for Efficient Multi-Stage Vision Transformers", 2021 (arXiv:2109.00642); official
code: yilunliao/vit-search, for classification of images of fixed size. A network is one that the search has
found, or any other of its space. Own are maps of strides 4 to 32, a norm on each, and tables of positions for
any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.attention import SelfAttention
from dense3d.layers.class_heads import TokenHead
from dense3d.layers.mlp import FeedForward
from dense3d.layers.patch_embed import Grid, map_to_tokens, resize_position_table, tokens_to_map
from dense3d.layers.spatial_reduction import PATCH, ConvPatches, Reduction
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS

EMBED_CHANNELS = 24  # between the convolutions of the patches
_EPS = 1e-6


def _blocks(head_dim: int, *sizes: tuple[int, int]) -> tuple[tuple[int, int, int], ...]:
    return tuple((heads, head_dim, hidden) for heads, hidden in sizes)


# Width of each stage, and (heads, channels of a head, channels of the feed-forward network) of each block.
ARCHITECTURES: dict[str, dict] = {
    "reference-tiny": dict(
        dims=(192, 384, 768),
        blocks=tuple(_blocks(64, *[(dim // 64, 4 * dim)] * 4) for dim in (192, 384, 768)),
        embed_channels=None,
    ),
    "tiny": dict(
        dims=(176, 352, 704),
        blocks=(
            _blocks(32, (3, 704), (3, 576), (3, 640), (4, 576), (4, 704)),
            _blocks(48, (10, 1408), (8, 1408), (8, 1280), (8, 1408), (10, 1280), (10, 1024)),
            _blocks(64, (10, 2560), (10, 1792), (10, 2816), (8, 2816), (8, 2560)),
        ),
    ),
    "small": dict(
        dims=(220, 440, 880),
        blocks=(
            _blocks(32, (5, 880), (5, 880), (7, 800), (5, 720), (5, 720), (5, 720)),
            _blocks(48, (10, 1760), (10, 1440), (10, 1920), (10, 1600), (12, 1600), (12, 1440)),
            _blocks(64, (16, 3200), (12, 3200), (16, 2880), (12, 2240), (14, 2560)),
        ),
    ),
    "medium": dict(
        dims=(240, 640, 880),
        blocks=(
            _blocks(32, (7, 960), (6, 960), (7, 800), (8, 960), (7, 880), (8, 880), (6, 800)),
            _blocks(48, (10, 1120), (14, 1760), (14, 1920), (16, 1760), (14, 1440), (16, 1760), (16, 1920)),
            _blocks(64, (16, 3200), (10, 3840), (16, 3840), (12, 3200), (16, 3520), (14, 3520)),
        ),
    ),
}


@MODELS.register_module()
class ViTResNAS(StagedBackbone):
    """ViT-ResNAS, maps of strides 4, 8, 16, 32, or of its own 14, 28, 56.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with ``dims``, the width of each stage, and
            ``blocks``, for each stage ``(heads, channels of a head, channels of the feed-forward network)``
            of each block; further ``embed_channels`` of the convolutions in front of the patches (24;
            ``None`` for plain patches).
        pretrain_size: side of the images that the tables of positions are for, a multiple of the last stride;
            they are resized to others (bicubic).
        distilled: whether there is a second class token.
        pyramid: whether maps have the strides that heads of detectors want. Images are then resized by 7 / 4
            (bilinear), so that the stages have strides 8, 16, 32, and the first of these maps is up-sampled
            (bilinear) for stride 4. Else the network sees images as they are.
        output_norm: LayerNorm on every returned map (``norm0`` ...); the official code has none but for the
            class tokens.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the reduction before a
            stage belongs to it. With ``pyramid`` the first stage stands for the first two maps.
        out_indices: maps to hand out; all unless given.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, out_channels[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, narrowing stages, a size that is no multiple of the last stride,
            stages out of range.

    Example:
        >>> arch = dict(dims=(8, 16), blocks=(((2, 4, 16),), ((2, 8, 32), (1, 8, 32))))
        >>> [tuple(m.shape) for m in ViTResNAS(arch)(torch.zeros(2, 3, 70, 50))]
        [(2, 8, 18, 13), (2, 8, 9, 7), (2, 16, 5, 4)]
        >>> [tuple(m.shape) for m in ViTResNAS(arch, pyramid=False)(torch.zeros(2, 3, 70, 50))]
        [(2, 8, 5, 4), (2, 16, 3, 2)]
    """

    converters = ("vit-resnas",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(dims=(16, 24, 32), blocks=(((2, 8, 32),), ((2, 8, 48),), ((3, 8, 64), (2, 8, 48)))),
            pretrain_size=112,
        )
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        pretrain_size: int = 224,
        distilled: bool = False,
        pyramid: bool = True,
        output_norm: bool = True,
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        dims, depths = list(sizes["dims"]), [len(blocks) for blocks in sizes["blocks"]]
        channels, self.depths, stride = dims, tuple(depths), PATCH
        if pyramid:
            channels, self.depths, stride = [dims[0], *dims], (depths[0], 0, *depths[1:]), 4
        out_indices = range(len(channels)) if out_indices is None else out_indices
        super().__init__(channels, stride, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        self.pyramid, self.multiple = pyramid, PATCH * 2 ** (len(dims) - 1)
        if pretrain_size < 1 or pretrain_size % self.multiple:
            raise ConfigError(
                f"ViTResNAS: pretrain_size={pretrain_size} is no multiple of the stride {self.multiple}"
            )
        self.num_prefix = 1 + distilled
        self.grid = (pretrain_size // PATCH,) * 2
        middle = sizes.get("embed_channels", EMBED_CHANNELS)
        self.patch_embed = (
            nn.Conv2d(in_channels, dims[0], PATCH, PATCH)
            if middle is None
            else ConvPatches(in_channels, middle, dims[0])
        )
        self.tokens = nn.Parameter(torch.zeros(1, self.num_prefix, dims[0]))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.num_prefix + self.grid[0] ** 2, dims[0]))
        last = max(sum(self.depths) - 1, 1)
        rates = (drop_path_rate * i / last for i in range(sum(self.depths)))
        self.stages = nn.ModuleList(
            nn.ModuleList(_block(dim, *block, next(rates)) for block in blocks)
            for dim, blocks in zip(dims, sizes["blocks"])
        )
        self.reductions = nn.ModuleList(
            Reduction(a, b, self.num_prefix, (self.grid[0] >> i, self.grid[1] >> i))
            for i, (a, b) in enumerate(pairwise(dims), start=1)
        )
        if output_norm:
            for index, dim in zip(self.out_indices, self.out_channels):
                self.add_module(f"norm{index}", nn.LayerNorm(dim, eps=_EPS))
        self._initialise()
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """The last stride: every grid that is reduced has even sides."""
        return self.patch_size * 2 ** (len(self.channels) - 1)

    def stem(self, images: Tensor) -> tuple[Tensor, Grid]:
        """``(B, 3, H, W)`` -> class tokens and patches ``(B, P + h * w, C)``, and their grid."""
        if self.pyramid:
            size = [side * PATCH // 8 for side in images.shape[-2:]]
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return self.patches(images)

    def patches(self, images: Tensor) -> tuple[Tensor, Grid]:
        """As :meth:`stem`, of images as they are."""
        features, count = self.patch_embed(images), self.num_prefix
        grid = (features.shape[2], features.shape[3])
        table = resize_position_table(self.pos_embed[:, count:], self.grid, grid)
        tokens = (self.tokens + self.pos_embed[:, :count]).expand(len(features), -1, -1)
        return torch.cat([tokens, map_to_tokens(features) + table], dim=1), grid

    def stage(self, index: int, x: tuple[Tensor, Grid]) -> tuple[Tensor, Grid]:
        """The reduction of the stage before, then the blocks: tokens ``(B, P + h * w, C)`` and their grid.

        In a pyramid the second map is of the tokens of the first one: nothing is done for it.
        """
        tokens, grid = x
        if isinstance(self.downsampling(index), Reduction):
            tokens = self.downsampling(index)(tokens, grid)
            grid = (grid[0] // 2, grid[1] // 2)
        for block in self.blocks(index):
            tokens = self.run(block, tokens)
        return tokens, grid

    def output(self, index: int, x: tuple[Tensor, Grid]) -> Tensor:
        """The patches of stage ``index``, normed, as a map."""
        norm = getattr(self, f"norm{index}", None)
        features = self.to_map(x if norm is None else (norm(x[0]), x[1]))
        if self.pyramid and index == 0:
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
        return features

    def to_map(self, x: tuple[Tensor, Grid]) -> Tensor:
        """Patches as a map ``(B, C, h, w)``, without class tokens."""
        return tokens_to_map(x[0][:, self.num_prefix :], x[1])

    def embed(self, images: Tensor) -> Tensor:
        """What the official classifier's tail sees: tokens of the last stage ``(B, P + h * w, C)``.

        Images are padded to whole multiples of the network's own last stride, and not resized.
        """
        self.check_images(images)
        height, width = images.shape[-2:]
        x = self.patches(F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple)))
        for index in range(len(self.channels)):
            x = self.stage(index, x)
        return x[0]

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm and linear layer on the class token; of distilled networks, the mean of two."""
        dim, distilled = self.channels[-1], self.num_prefix == 2
        norm = nn.LayerNorm(dim, eps=_EPS)
        return TokenHead(norm, dim, num_classes, self.num_prefix, distilled=distilled)

    def stem_modules(self) -> list[nn.Module]:
        """The patches."""
        return [self.patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """The reduction before map ``index``; nothing before those of the first stage."""
        number = index - 1 - self.pyramid
        return nn.Identity() if number < 0 else self.reductions[number]

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage; none for the second map of a pyramid."""
        if not self.pyramid or index == 0:
            return self.stages[index]
        return nn.ModuleList() if index == 1 else self.stages[index - 1]

    def freeze(self) -> None:
        """As the base does; class tokens and positions go with the stem."""
        super().freeze()
        if self.frozen_stages >= 0:
            self.tokens.requires_grad_(False)
            self.pos_embed.requires_grad_(False)

    def layer_ids(self) -> dict[str, int]:
        """As the base has it; class tokens and positions have the depth of the stem."""
        return super().layer_ids() | {"tokens": 0, "pos_embed": 0}

    def no_weight_decay(self) -> set[str]:
        """Class tokens; vectors and biases are the optimiser's rule."""
        return {"tokens"}

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize tables of positions of another image size (bicubic)."""
        own, adapted = self.state_dict(), dict(state)
        for name, table in state.items():
            if not name.endswith("pos_embed") or name not in own or table.shape == own[name].shape:
                continue
            count = self.num_prefix if name == "pos_embed" else 0
            sides = [round((t.shape[1] - count) ** 0.5) for t in (table, own[name])]
            if table.shape[1] != count + sides[0] ** 2:
                continue
            patches = resize_position_table(table[:, count:], (sides[0],) * 2, (sides[1],) * 2)
            adapted[name] = torch.cat([table[:, :count], patches], dim=1)
            self.log(
                f"{name} of the checkpoint is for another image size and was resized to {sides[1]} tokens"
            )
        return adapted

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for table in (self.tokens, self.pos_embed, *(part.pos_embed for part in self.reductions)):
            nn.init.trunc_normal_(table, std=0.02)


def _block(dim: int, heads: int, head_dim: int, hidden: int, drop_path: float) -> TransformerBlock:
    return TransformerBlock(
        dim,
        heads,
        drop_path=drop_path,
        norm_eps=_EPS,
        attn=SelfAttention(dim, heads, head_dim=head_dim),
        mlp=FeedForward(dim, hidden),
    )


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"ViTResNAS has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        arch = ARCHITECTURES[arch]
    if not {"dims", "blocks"} <= set(arch) <= {"dims", "blocks", "embed_channels"}:
        raise ConfigError(
            "ViTResNAS: arch needs dims and blocks and may have embed_channels, but has "
            f"{', '.join(sorted(arch))}"
        )
    dims, blocks = arch["dims"], arch["blocks"]
    if len(dims) != len(blocks) or list(dims) != sorted(dims):
        raise ConfigError(
            f"ViTResNAS: dims={tuple(dims)} for {len(blocks)} stages of blocks: give one a stage, none "
            "smaller than the one before"
        )
    if any(len(block) != 3 for stage in blocks for block in stage):
        raise ConfigError(
            "ViTResNAS: a block is (heads, channels of a head, channels of the feed-forward network)"
        )
    return arch

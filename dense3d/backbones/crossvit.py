"""CrossViT: two branches with patches of different sizes that exchange their class tokens.

Chen et al., "CrossViT: Cross-Attention Multi-Scale Vision Transformer for Image Classification", ICCV 2021,
arXiv 2103.14899 (IBM/CrossViT). The multi-scale blocks are timm's, which compute the same. Official
checkpoints: ``dense3d convert crossvit``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.backbones.plain import drop_path_rates, initialise_linears, read_architecture
from dense3d.errors import ConfigError, DataError
from dense3d.layers.class_heads import small_linear
from dense3d.layers.patch_embed import Grid, resize_position_table, tokens_to_map
from dense3d.optional import require
from dense3d.registry import MODELS

STRIDES = (4, 8, 16, 32)
# patch size -> kernel, stride and padding of the three convolutions that take its place
_STEMS = {12: ((7, 4, 3), (3, 3, 0), (3, 1, 1)), 16: ((7, 4, 3), (3, 2, 1), (3, 2, 1))}


@dataclass(frozen=True)
class CrossViTArchitecture:
    """What decides the weights of a CrossViT; pairs are of the fine and of the coarse branch.

    Attributes:
        embed_dim: channels of a token.
        depth: of each multi-scale block, the blocks of the fine branch, of the coarse one, and of the
            exchange; 0 stands for an exchange of one block.
        num_heads: heads of the attentions.
        patch_size: sides of the patches in pixels.
        pretrain_size: sides in pixels of the square images that the branches see in classification.
        in_channels: channels of the image.
        mlp_ratio: width of the feed-forward networks in multiples of ``embed_dim``.
        qkv_bias: whether queries, keys and values have biases.
        conv_stem: whether patches are embedded by three convolutions, as in the daggered models.
        norm_eps: epsilon of the norms.
    """

    embed_dim: tuple[int, int]
    depth: tuple[tuple[int, int, int], ...]
    num_heads: tuple[int, int]
    patch_size: tuple[int, int] = (12, 16)
    pretrain_size: tuple[int, int] = (240, 224)
    in_channels: int = 3
    mlp_ratio: tuple[float, float] = (4.0, 4.0)
    qkv_bias: bool = True
    conv_stem: bool = False
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("embed_dim", "num_heads", "patch_size", "pretrain_size", "mlp_ratio"):
            if len(getattr(self, name)) != 2:
                raise ConfigError(
                    f"{name}={getattr(self, name)} of a CrossViT: give one value for each branch"
                )
        if not self.depth or any(len(entry) != 3 or min(entry) < 0 for entry in self.depth):
            raise ConfigError(
                f"depth={self.depth} of a CrossViT: give three numbers for each multi-scale block"
            )
        if any(min(entry[:2]) < 1 for entry in self.depth):
            raise ConfigError(f"depth={self.depth} of a CrossViT: each branch has a block in each")
        for dim, heads in zip(self.embed_dim, self.num_heads):
            if heads < 1 or dim % heads:
                raise ConfigError(f"{dim} channels cannot be shared by {heads} heads; choose a multiple")
        if self.conv_stem and any(size not in _STEMS for size in self.patch_size):
            raise ConfigError(f"conv_stem of a CrossViT is for patches of 12 and 16, not {self.patch_size}")
        if self.patch_size[1] != 16:
            raise ConfigError(f"patch_size={self.patch_size} of a CrossViT: that of the coarse branch is 16")

    @property
    def table_grids(self) -> tuple[Grid, Grid]:
        """Rows and columns of the position tables."""
        return tuple((n // p,) * 2 for n, p in zip(self.pretrain_size, self.patch_size))


def _size(fine: int, coarse: int, blocks: int, heads: int, ratio: float, **more) -> dict:
    return dict(
        embed_dim=(fine, coarse),
        depth=((1, blocks, 0),) * 3,
        num_heads=(heads, heads),
        mlp_ratio=(ratio, ratio),
        **more,
    )


_SIZES = {"9": (128, 256, 3, 4, 3.0), "15": (192, 384, 5, 6, 3.0), "18": (224, 448, 6, 7, 3.0)}
# Names are the official ones without "crossvit_" and the size of the images.
ARCHITECTURES: dict[str, dict] = {
    "tiny": _size(96, 192, 4, 3, 4.0),
    "small": _size(192, 384, 4, 6, 4.0),
    "base": _size(384, 768, 4, 12, 4.0),
    **{name: _size(*size) for name, size in _SIZES.items()},
    **{f"{name}_dagger": _size(*size, conv_stem=True) for name, size in _SIZES.items()},
    **{
        f"{name}_dagger_384": _size(*_SIZES[name], conv_stem=True, pretrain_size=(408, 384))
        for name in ("15", "18")
    },
}


class CrossViTHead(nn.Module):
    """The official tail: norm and linear layer of each branch's class token, the mean of both logits.

    Shape:
        ``(B, C_fine + C_coarse)`` to ``(B, num_classes)``.
    """

    def __init__(self, dims: Sequence[int], num_classes: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.ModuleList(nn.LayerNorm(dim, eps=eps) for dim in dims)
        self.head = nn.ModuleList(small_linear(dim, num_classes) for dim in dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the class tokens that leave the last block."""
        parts = tokens.split([norm.normalized_shape[0] for norm in self.norm], dim=1)
        return sum(head(norm(x)) for head, norm, x in zip(self.head, self.norm, parts)) / 2


@MODELS.register_module()
class CrossViT(BaseModule):
    """CrossViT as a dense backbone: maps of strides 4, 8, 16 and 32 from its two branches.

    The authors published no dense form; this one is ours. The coarse branch sees the image as it is; its
    tokens are the map of stride 16 and, pooled, that of 32. The fine branch sees it resized (bicubic) by the
    ratio of the two sizes of pre-training, so that 14 patches of one lie on 20 of the other; its tokens,
    resized (bilinear), are the map of stride 8 and, by a transposed convolution, that of 4. Tables of
    positions are resized (bicubic).

    Args:
        arch: ``"tiny"``, ``"small"``, ``"base"``, ``"9"``, ``"15"``, ``"18"``, the last three also with
            ``_dagger``, or a dict with ``name`` and what differs from it, or all attributes of
            :class:`CrossViTArchitecture`.
        out_indices: which of the four maps are returned, increasing.
        final_norm: whether maps go through the final norms of the branches.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 (official: 0.1).
        frozen_stages: -1 freezes nothing, 0 the embeddings, k also the first k multi-scale blocks, and the
            norms behind all of them; what enlarges the finest map has no official weights and always trains.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads official weights
            or ours.

    Attributes:
        out_channels: those of the fine branch for the first two maps, of the coarse one for the others.
        out_strides: 4, 8, 16, 32 of all four.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB -> maps ``(B, C_i, ceil(H / s), ceil(W / s))``.
        Images are padded inside to multiples of 32.

    Raises:
        ConfigError: an argument does not fit the architecture.
        DataError: images have another number of channels, or no pixels.

    Example:
        >>> vit = CrossViT("tiny").eval()
        >>> [tuple(f.shape) for f in vit(torch.zeros(1, 3, 45, 70))]
        [(1, 96, 12, 18), (1, 96, 6, 9), (1, 192, 3, 5), (1, 192, 2, 3)]
    """

    converters = ("crossvit",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(
                embed_dim=(16, 32), depth=((1, 1, 0), (1, 2, 0)), num_heads=(2, 2), pretrain_size=(60, 64)
            )
        )
    }

    def __init__(
        self,
        arch: str | dict | CrossViTArchitecture,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        final_norm: bool = True,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.arch = arch = read_architecture(CrossViTArchitecture, ARCHITECTURES, arch, "CrossViT")
        self.frozen_stages, self.with_cp = frozen_stages, with_cp
        dims = arch.embed_dim
        self.out_indices = _map_indices(out_indices)
        self.out_channels: tuple[int, ...] = tuple(dims[i // 2] for i in self.out_indices)
        self.out_strides: tuple[int, ...] = tuple(STRIDES[i] for i in self.out_indices)
        self.patch_embed = nn.ModuleList(_patch_embed(arch, branch) for branch in (0, 1))
        self.cls_token = nn.ParameterList(nn.Parameter(torch.zeros(1, 1, dim)) for dim in dims)
        self.pos_embed = nn.ParameterList(
            nn.Parameter(torch.zeros(1, 1 + math.prod(grid), dim))
            for grid, dim in zip(arch.table_grids, dims)
        )
        self.blocks = _blocks(arch, drop_path_rate)
        self.norm = (
            nn.ModuleList(nn.LayerNorm(dim, eps=arch.norm_eps) for dim in dims) if final_norm else None
        )
        self.up = nn.ConvTranspose2d(dims[0], dims[0], 2, stride=2)
        initialise_linears(self)
        for table in (*self.cls_token, *self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)
        if not -1 <= frozen_stages <= len(arch.depth):
            raise ConfigError(f"CrossViT: frozen_stages={frozen_stages}, but it can be -1..{len(arch.depth)}")
        for part in self._frozen():
            part.requires_grad_(False)
        self._freeze_unused()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps of strides 4, 8, 16 and 32, described in the class."""
        self.check_images(images)
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % STRIDES[-1], 0, -height % STRIDES[-1]))
        sizes = [self._fine_size(padded), tuple(padded.shape[-2:])]
        (fine, coarse), grids = self.tokens(padded, sizes)
        if self.norm is not None:
            fine, coarse = self.norm[0](fine), self.norm[1](coarse)
        fine, coarse = tokens_to_map(fine[:, 1:], grids[0]), tokens_to_map(coarse[:, 1:], grids[1])
        eighth = [n // STRIDES[1] for n in padded.shape[-2:]]
        fine = F.interpolate(fine, size=eighth, mode="bilinear", align_corners=False)
        make = (lambda: self.up(fine), lambda: fine, lambda: coarse, lambda: F.max_pool2d(coarse, 2))
        maps = [make[index]() for index in self.out_indices]
        return tuple(
            m[..., : math.ceil(height / s), : math.ceil(width / s)] for m, s in zip(maps, self.out_strides)
        )

    def embed(self, images: Tensor) -> Tensor:
        """Class tokens of both branches without the final norms, ``(B, C_fine + C_coarse)``.

        As officially, each branch sees the image resized to its square of pre-training.
        """
        self.check_images(images)
        (fine, coarse), _ = self.tokens(images, [(n, n) for n in self.arch.pretrain_size])
        return torch.cat([fine[:, 0], coarse[:, 0]], dim=1)

    def tokens(self, images: Tensor, sizes: Sequence[Grid]) -> tuple[list[Tensor], list[Grid]]:
        """Tokens ``(B, 1 + h * w, C)`` of both branches behind the last block, and their grids.

        Args:
            images: ``(B, in_channels, H, W)``.
            sizes: of the image for each branch.
        """
        tokens, grids = [], []
        for branch, size in enumerate(sizes):
            x = self.patch_embed[branch](resized(images, size))  # (B, C, h, w)
            grid = (x.shape[2], x.shape[3])
            patches = x.flatten(2).transpose(1, 2)
            cls = self.cls_token[branch].expand(len(patches), -1, -1)
            table, source = self.pos_embed[branch], self.arch.table_grids[branch]
            table = torch.cat([table[:, :1], resize_position_table(table[:, 1:], source, grid)], dim=1)
            tokens.append(torch.cat([cls, patches], dim=1) + table)
            grids.append(grid)
        for block in self.blocks:
            if self.with_cp and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return tokens, grids

    def check_images(self, images: Tensor) -> None:
        """Complain about what is no batch of images of this network.

        Raises:
            DataError: the batch has another number of axes or channels, or no pixels.
        """
        channels = self.arch.in_channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise DataError(
                f"CrossViT takes images of shape (B, {channels}, H, W), but this batch is "
                f"{tuple(images.shape)}: set in_channels of its arch, or convert the images"
            )
        if 0 in images.shape[-2:]:
            height, width = images.shape[-2:]
            raise DataError(f"CrossViT got images of {height} x {width} pixels: leave them out")

    def class_head(self, num_classes: int) -> nn.Module:
        """The official tail of a classifier, from what :meth:`embed` gives to logits."""
        return CrossViTHead(self.arch.embed_dim, num_classes, self.arch.norm_eps)

    def drop_output_norms(self) -> None:
        """Take away what maps alone need: the final norms, of which a classifier has its own, and ``up``."""
        self.norm = self.up = None

    @property
    def num_layers(self) -> int:
        """Depth of the last multi-scale block in :meth:`layer_ids`; what follows counts one more."""
        return len(self.blocks)

    def layer_ids(self) -> dict[str, int]:
        """Parameter name -> depth: 0 embeddings, i + 1 multi-scale block i, the rest behind."""
        ids = {}
        for name, _ in self.named_parameters():
            part, index, *_ = name.split(".")
            embedding = part in ("patch_embed", "cls_token", "pos_embed")
            ids[name] = 0 if embedding else int(index) + 1 if part == "blocks" else self.num_layers + 1
        return ids

    def no_weight_decay(self) -> set[str]:
        """Class tokens and positions; vectors and biases are the optimiser's rule."""
        return {name for name, _ in self.named_parameters() if name.startswith(("cls_token", "pos_embed"))}

    def train(self, mode: bool = True) -> CrossViT:
        """Training mode, except for frozen blocks, whose stochastic depth stays off."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; everything else was initialised at construction.

        Official files have no ``up``, which then keeps its start.

        Raises:
            CheckpointError: the file cannot be read, or names or shapes differ; the message lists them.
        """
        if not self.init_cfg or self.init_cfg.get("type") != "Pretrained":
            return
        from dense3d.checkpoints.pretrained import read_backbone
        from dense3d.engine.checkpoint import load_into

        path = self.init_cfg["checkpoint"]
        own = self.state_dict()
        state = self.adapt(read_backbone(path, self.converters, set(own)))
        load_into(self, state, source=str(path))

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Converted weights less the parts that this network was built without, with its own ``up``."""
        added = {name: value for name, value in self.state_dict().items() if name.startswith("up.")}
        state = {name: value for name, value in state.items() if self.up is not None or name[:3] != "up."}
        if self.norm is None:
            state = {name: value for name, value in state.items() if not name.startswith("norm.")}
        return added | state

    def _freeze_unused(self) -> None:
        """Take what only serves maps that are not returned out of the training."""
        if self.out_indices[0] > 0:
            self.up.requires_grad_(False)
        last = self.blocks[-1]
        for branch, unused in ((0, self.out_indices[0] > 1), (1, self.out_indices[-1] < 2)):
            parts = [last.projs[branch], last.fusion[branch], last.revert_projs[branch]]
            for part in [*parts, *([] if self.norm is None else [self.norm[branch]])] if unused else []:
                part.requires_grad_(False)

    def _fine_size(self, images: Tensor) -> Grid:
        """Whole patches of the fine branch for an image whose size the coarse one sees."""
        patch, (fine, coarse) = self.arch.patch_size[0], self.arch.pretrain_size
        return tuple(max(1, round(n * fine / coarse / patch)) * patch for n in images.shape[-2:])

    def _frozen(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        parts = [self.patch_embed, self.cls_token, self.pos_embed, *self.blocks[: self.frozen_stages]]
        whole = self.frozen_stages == len(self.blocks) and self.norm is not None
        return [*parts, self.norm] if whole else parts


def _map_indices(out_indices: Sequence[int]) -> tuple[int, ...]:
    if not out_indices or sorted(set(out_indices)) != list(out_indices):
        raise ConfigError(f"CrossViT: out_indices={tuple(out_indices)} must name maps in increasing order")
    if out_indices[0] < 0 or out_indices[-1] >= len(STRIDES):
        raise ConfigError(
            f"CrossViT: out_indices={tuple(out_indices)}, but its maps are 0..{len(STRIDES) - 1}"
        )
    return tuple(out_indices)


def resized(images: Tensor, size: Grid) -> Tensor:
    """Images of another size: bicubic, not antialiased, as in the official code."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size=tuple(size), mode="bicubic", align_corners=False)


def _patch_embed(arch: CrossViTArchitecture, branch: int) -> nn.Module:
    """A convolution of whole patches, or the three of the daggered models."""
    size, dim = arch.patch_size[branch], arch.embed_dim[branch]
    if not arch.conv_stem:
        return nn.Conv2d(arch.in_channels, dim, size, stride=size)
    channels = (arch.in_channels, dim // 4, dim // 2, dim)
    layers: list[nn.Module] = []
    for (a, b), (kernel, stride, padding) in zip(pairwise(channels), _STEMS[size]):
        layers += [nn.Conv2d(a, b, kernel, stride, padding), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def _blocks(arch: CrossViTArchitecture, drop_path_rate: float) -> nn.ModuleList:
    """timm's multi-scale blocks; within one, both branches have the same rates of stochastic depth."""
    timm = require("timm.models.crossvit", "CrossViT")
    counts = [max(entry[:2]) + entry[2] for entry in arch.depth]
    rates = iter(drop_path_rates(drop_path_rate, sum(counts)))
    return nn.ModuleList(
        timm.MultiScaleBlock(
            dim=arch.embed_dim,
            patches=(),
            depth=entry,
            num_heads=arch.num_heads,
            mlp_ratio=(*arch.mlp_ratio, 1.0),
            qkv_bias=arch.qkv_bias,
            drop_path=[next(rates) for _ in range(count)],
            norm_layer=partial(nn.LayerNorm, eps=arch.norm_eps),
        )
        for entry, count in zip(arch.depth, counts)
    )

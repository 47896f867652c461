"""PyramidTNT: transformer in transformer with a convolutional stem and four stages of falling resolution.

Han et al., "PyramidTNT: Improved Transformer-in-Transformer Baselines with Pyramid Architecture", arXiv
2201.00978 (huawei-noah/Efficient-AI-Backbones, ``tnt_pytorch/pyramid_tnt.py``). Official checkpoints:
``dense3d convert pyramid-tnt``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.backbones.plain import drop_path_rates, initialise_linears
from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.map_head import NormedMapHead
from dense3d.layers.patch_embed import Grid, resize_position_table, tokens_to_map
from dense3d.layers.words_and_sentences import (
    WORDS,
    PyramidTNTBlock,
    SentenceMerge,
    Stage,
    State,
    Stem,
    WordMerge,
)
from dense3d.registry import MODELS

_KEYS = ("depths", "outer_dims", "inner_dims", "outer_heads", "inner_heads")
# name -> the five of _KEYS, one value a stage; and the side of the images of pre-training
ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(
        depths=(2, 6, 3, 2),
        outer_dims=(80, 160, 320, 320),
        inner_dims=(5, 10, 20, 20),
        outer_heads=(2, 4, 8, 8),
        inner_heads=(1, 2, 4, 4),
    ),
    "small": dict(
        depths=(2, 8, 4, 2),
        outer_dims=(128, 256, 512, 512),
        inner_dims=(8, 16, 32, 32),
        outer_heads=(4, 8, 16, 16),
        inner_heads=(2, 4, 8, 8),
    ),
    "medium": dict(
        depths=(2, 8, 6, 2),
        outer_dims=(192, 384, 768, 768),
        inner_dims=(12, 24, 48, 48),
        outer_heads=(4, 8, 16, 16),
        inner_heads=(2, 4, 8, 8),
    ),
    "base": dict(
        depths=(2, 10, 6, 2),
        outer_dims=(256, 512, 1024, 1024),
        inner_dims=(16, 32, 64, 64),
        outer_heads=(4, 8, 16, 16),
        inner_heads=(2, 4, 8, 8),
    ),
}
_PRETRAIN_SIZES = {"tiny": 192}  # 256 for the others
_REDUCTIONS = (4, 2, 1, 1)  # of keys and values, along each side


@MODELS.register_module()
class PyramidTNT(StagedBackbone):
    """PyramidTNT as a dense backbone with maps of strides 8, 16, 32 and 64.

    Args:
        arch: ``"tiny"``, ``"small"``, ``"medium"``, ``"base"``, or a dict with ``depths``, ``outer_dims``
            (channels of sentences), ``inner_dims`` (of words), ``outer_heads`` and ``inner_heads``, one value
            a stage.
        pretrain_size: side in pixels of the images that the position tables are for, or rows and columns; 192
            of ``"tiny"`` and 256 of the others unless given.
        mlp_ratio: width of the feed-forward networks in multiples of their channels.
        qkv_bias: whether queries, keys and values have biases.
        qk_scale: factor of the products of queries and keys; one over the root of a head's channels for None.
        excite: whether the feed-forward branches of the sentences are gated by squeeze and excitation.
        output_norms: whether each map has a layer norm of its own, as detectors on Swin have.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: as in
            :class:`dense3d.backbones.staged.StagedBackbone`.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB -> maps ``(B, C_i, ceil(H / s), ceil(W / s))``, s =
        8, 16, 32, 64. Images are padded inside to multiples of 32; tables of positions, and those of the
        relative positions over both of their grids, are resized (bicubic).

    Raises:
        ConfigError: an argument does not fit the architecture.
        DataError: images have another number of channels.

    Example:
        >>> model = PyramidTNT("tiny").eval()
        >>> [tuple(f.shape) for f in model(torch.zeros(1, 3, 65, 96))]
        [(1, 80, 9, 12), (1, 160, 5, 6), (1, 320, 3, 3), (1, 320, 2, 2)]
    """

    converters = ("pyramid-tnt",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(
                depths=(1, 1, 1, 1),
                outer_dims=(8, 16, 24, 32),
                inner_dims=(2, 2, 4, 4),
                outer_heads=(1, 2, 2, 2),
                inner_heads=(1, 1, 2, 2),
            ),
            pretrain_size=64,
        )
    }

    def __init__(
        self,
        arch: str | dict = "small",
        pretrain_size: int | tuple[int, int] | None = None,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        qk_scale: float | None = None,
        excite: bool = False,
        output_norms: bool = True,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        dims, inner = sizes["outer_dims"], sizes["inner_dims"]
        super().__init__(dims, 8, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        size = pretrain_size or (_PRETRAIN_SIZES.get(arch, 256) if isinstance(arch, str) else 256)
        rows, columns = (size, size) if isinstance(size, int) else size
        if min(rows, columns) < 32:
            raise ConfigError(f"pretrain_size={size} of a PyramidTNT: give 32 pixels or more")
        self.table_grid: Grid = (rows // 8, columns // 8)
        self.depths = tuple(sizes["depths"])
        self.patch_embed = Stem(in_channels, inner[0], dims[0])
        self.inner_pos = nn.Parameter(torch.zeros(1, WORDS**2, inner[0]))
        self.outer_pos = nn.Parameter(torch.zeros(1, math.prod(self.table_grid), dims[0]))
        self.word_merges = nn.ModuleList(WordMerge(a, b) for a, b in pairwise(inner))
        self.sentence_merges = nn.ModuleList(SentenceMerge(a, b) for a, b in pairwise(dims))
        rates = iter(drop_path_rates(drop_path_rate, sum(self.depths)))
        shared = (mlp_ratio, qkv_bias, qk_scale, excite)
        self.stages = nn.ModuleList()
        grid = self.table_grid
        for i, depth in enumerate(self.depths):
            place = (sizes["inner_heads"][i], sizes["outer_heads"][i], _REDUCTIONS[i])
            blocks = [
                PyramidTNTBlock(
                    inner[i] if j == 0 or (depth > 6 and j == 1) else None,
                    dims[i],
                    *place,
                    *shared,
                    next(rates),
                )
                for j in range(depth)
            ]
            self.stages.append(Stage(blocks, grid, place[1], place[2]))
            grid = tuple(-(-n // 2) for n in grid)
        if output_norms:
            for i in self.out_indices:
                self.add_module(f"norm{i}", ChannelLayerNorm(dims[i], eps=1e-5))
        initialise_linears(self)
        nn.init.trunc_normal_(self.inner_pos, std=0.02)
        nn.init.trunc_normal_(self.outer_pos, std=0.02)
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """Whole squares of keys and values in the first two stages."""
        return 32

    def stem(self, images: Tensor) -> State:
        """Words and sentences with their positions."""
        words, sentences = self.patch_embed(images)
        grid = (sentences.shape[2], sentences.shape[3])
        table = resize_position_table(self.outer_pos, self.table_grid, grid)
        return words + self.inner_pos, sentences + tokens_to_map(table, grid)

    def stage(self, index: int, x: State) -> State:
        """Merging of words and sentences, and the blocks."""
        words, sentences = x
        if index > 0:
            words = self.word_merges[index - 1](words, (sentences.shape[2], sentences.shape[3]))
            sentences = self.sentence_merges[index - 1](sentences)
        stage = self.stages[index]
        bias = stage.relative_bias((sentences.shape[2], sentences.shape[3]))
        for block in stage.blocks:
            if self.with_cp and self.training and sentences.requires_grad:
                words, sentences = checkpoint(block, words, sentences, bias, use_reentrant=False)
            else:
                words, sentences = block(words, sentences, bias)
        return words, sentences

    def output(self, index: int, x: State) -> Tensor:
        """The sentences, with the output norm where there is one."""
        norm = getattr(self, f"norm{index}", None)
        return x[1] if norm is None else norm(x[1])

    def to_map(self, x: State) -> Tensor:
        """The sentences, which are a map."""
        return x[1]

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm of every sentence, mean, linear layer."""
        channels = self.out_channels[-1]
        return NormedMapHead(ChannelLayerNorm(channels, eps=1e-5), channels, num_classes)

    def stem_modules(self) -> list[nn.Module]:
        """The convolutions."""
        return [self.patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """Merging of words and of sentences."""
        return nn.ModuleList([self.word_merges[index - 1], self.sentence_merges[index - 1]])

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of a stage."""
        return self.stages[index].blocks

    def freeze(self) -> None:
        """As the base does; tables of positions go with the stem and with their stages."""
        super().freeze()
        if self.frozen_stages >= 0:
            self.inner_pos.requires_grad_(False)
            self.outer_pos.requires_grad_(False)
        for index, stage in enumerate(self.stages):
            if index < self.frozen_stages or index > self.out_indices[-1]:
                stage.relative_pos.requires_grad_(False)

    def layer_ids(self) -> dict[str, int]:
        """As the base does; a table of positions has the depth of what reads it first."""
        ids = super().layer_ids()
        first = {f"stages.{i}.relative_pos": 1 + sum(self.depths[:i]) for i in range(len(self.depths))}
        return ids | {"inner_pos": 0, "outer_pos": 0} | first

    def no_weight_decay(self) -> set[str]:
        """Position tables of words and sentences; vectors and biases are the optimiser's rule."""
        return {"inner_pos", "outer_pos"}


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            hint = did_you_mean(arch, ARCHITECTURES) or f"; there are {', '.join(ARCHITECTURES)}"
            raise ConfigError(f"no PyramidTNT is called {arch!r}{hint}")
        return ARCHITECTURES[arch]
    for key in arch:
        if key not in _KEYS:
            raise ConfigError(f"a PyramidTNT has no {key!r}{did_you_mean(key, _KEYS)}")
    missing = [key for key in _KEYS if key not in arch]
    if missing:
        raise ConfigError(f"the arch of a PyramidTNT lacks {missing[0]!r}: it has {', '.join(_KEYS)}")
    if any(len(arch[key]) != len(_REDUCTIONS) for key in _KEYS):
        raise ConfigError(f"a PyramidTNT has {len(_REDUCTIONS)} stages: give each of {_KEYS} as many values")
    return arch

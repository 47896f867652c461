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
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.backbones.plain import drop_path_rates, initialise_linears
from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.attention import biased_attention
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.map_head import NormedMapHead
from dense3d.layers.mlp import FeedForward
from dense3d.layers.patch_embed import Grid, map_to_tokens, resize_position_table, tokens_to_map
from dense3d.layers.squeeze_excite import TokenGate
from dense3d.layers.transformer_block import DropPath
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
_WORDS = 4  # words on a side of a sentence

State = tuple[Tensor, Tensor]  # words (B N, 16, c) and the map of sentences (B, C, h, w)


class ReducedAttention(nn.Module):
    """Self-attention whose keys and values come from averages over squares of tokens.

    Args:
        dim: channels of a token.
        num_heads: M, a divisor of ``dim``.
        bias: whether queries, keys and values have biases.
        scale: factor of the products; ``(dim / M) ** -0.5`` for None.
        reduction: side r of the squares; 1 takes the tokens themselves.

    Shape:
        ``(B, h * w, dim)`` to the same.

    Raises:
        ConfigError: ``dim`` is no multiple of ``num_heads``.

    Example:
        >>> ReducedAttention(8, 2, reduction=2)(torch.zeros(1, 24, 8), (4, 6)).shape
        torch.Size([1, 24, 8])
    """

    def __init__(
        self, dim: int, num_heads: int, bias: bool = False, scale: float | None = None, reduction: int = 1
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        self.num_heads, self.scale, self.reduction = num_heads, scale, reduction
        self.q = nn.Linear(dim, dim, bias=bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim)
        if reduction > 1:
            self.linear = nn.Linear(dim, dim)
            self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, grid: Grid | None = None, bias: Tensor | None = None) -> Tensor:
        """Attention of the tokens; ``bias`` ``(1, M, h w, h w / r ** 2)`` is added to its logits."""
        reduced = tokens
        if self.reduction > 1:
            pooled = F.avg_pool2d(tokens_to_map(tokens, grid), self.reduction)
            reduced = self.norm(self.linear(map_to_tokens(pooled)))
        query = self.q(tokens).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.kv(reduced).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = biased_attention(query, key, value, bias, scale=self.scale)
        return self.proj(attended.transpose(1, 2).flatten(2))


class PyramidTNTBlock(nn.Module):
    """A block on the words of each sentence, in the first blocks of a stage, and one on the sentences.

    Args:
        inner_dim: channels of a word, c; None for a block without words.
        dim: channels of a sentence, C.
        inner_heads, heads: of the attentions.
        reduction: of the keys and values of sentences.
        mlp_ratio, bias, scale, excite, drop_path: as in :class:`PyramidTNT`.

    Shape:
        words ``(B * h * w, 16, c)``, sentences ``(B, C, h, w)`` and the stage's bias to the first two.
    """

    def __init__(
        self,
        inner_dim: int | None,
        dim: int,
        inner_heads: int,
        heads: int,
        reduction: int,
        mlp_ratio: float,
        bias: bool,
        scale: float | None,
        excite: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.has_inner = inner_dim is not None
        if self.has_inner:
            sentence = _WORDS**2 * inner_dim
            self.inner_norm1 = nn.LayerNorm(sentence)
            self.inner_attn = ReducedAttention(inner_dim, inner_heads, bias, scale)
            self.inner_norm2 = nn.LayerNorm(sentence)
            self.inner_mlp = FeedForward(inner_dim, int(inner_dim * mlp_ratio))
            self.proj_norm1 = nn.LayerNorm(sentence)
            self.proj = nn.Linear(sentence, dim, bias=False)
            self.proj_norm2 = nn.LayerNorm(dim)
        self.outer_norm1 = nn.LayerNorm(dim)
        self.outer_attn = ReducedAttention(dim, heads, bias, scale, reduction)
        self.outer_norm2 = nn.LayerNorm(dim)
        self.outer_mlp = FeedForward(dim, int(dim * mlp_ratio))
        self.se_layer = TokenGate(dim, int(dim * 0.25)) if excite else None
        self.drop_path = DropPath(drop_path)

    def forward(self, words: Tensor, sentences: Tensor, relative_bias: Tensor) -> State:
        """Words and sentences after the block."""
        grid = (sentences.shape[2], sentences.shape[3])
        tokens = map_to_tokens(sentences)
        if self.has_inner:
            words = words + self.drop_path(self.inner_attn(_by_sentence(self.inner_norm1, words)))
            words = words + self.drop_path(self.inner_mlp(_by_sentence(self.inner_norm2, words)))
            flat = words.flatten(1).unflatten(0, (len(tokens), -1))  # (B, N, 16 c)
            tokens = tokens + self.proj_norm2(self.proj(self.proj_norm1(flat)))
        tokens = tokens + self.drop_path(self.outer_attn(self.outer_norm1(tokens), grid, relative_bias))
        branch = self.outer_mlp(self.outer_norm2(tokens))
        if self.se_layer is not None:
            branch = branch + self.se_layer(branch)
        return words, tokens_to_map(tokens + self.drop_path(branch), grid)


def _by_sentence(norm: nn.LayerNorm, words: Tensor) -> Tensor:
    """Norm over all channels of all words of a sentence."""
    return norm(words.flatten(1)).view_as(words)


class Stem(nn.Module):
    """Convolutions, from which words part at stride 2 and sentences at stride 8.

    Shape:
        ``(B, in_channels, H, W)``, H and W multiples of 8, to words ``(B * h * w, 16, c)`` and sentences
        ``(B, C, h, w)``, h = H / 8.
    """

    def __init__(self, in_channels: int, inner_dim: int, dim: int) -> None:
        super().__init__()
        width = 2 * inner_dim
        self.common_conv = nn.Sequential(*_convolution(in_channels, width, 2))
        self.inner_convs = nn.Sequential(nn.Conv2d(width, inner_dim, 3, padding=1), nn.BatchNorm2d(inner_dim))
        self.outer_convs = nn.Sequential(
            *_convolution(width, 2 * width, 2),
            *_convolution(2 * width, 4 * width, 2),
            *_convolution(4 * width, dim, 1),
        )

    def forward(self, images: Tensor) -> State:
        """Words and sentences."""
        x = self.common_conv(images)
        words = F.relu(self.inner_convs(x))
        return words_of_map(words), self.outer_convs(x)


def _convolution(channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def words_of_map(words: Tensor) -> Tensor:
    """A map ``(B, c, 4 h, 4 w)`` as words ``(B * h * w, 16, c)``, sentence by sentence."""
    squares = words.unflatten(3, (-1, _WORDS)).unflatten(2, (-1, _WORDS))  # (B, c, h, 4, w, 4)
    return squares.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)


def map_of_words(words: Tensor, grid: Grid) -> Tensor:
    """The inverse of :func:`words_of_map`.

    Example:
        >>> words = torch.randn(2 * 3 * 5, 16, 4)
        >>> torch.equal(words_of_map(map_of_words(words, (3, 5))), words)
        True
    """
    squares = words.unflatten(1, (_WORDS, _WORDS)).unflatten(0, (-1, *grid))  # (B, h, w, 4, 4, c)
    return squares.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


class WordMerge(nn.Module):
    """Words of 2 x 2 sentences, an 8 x 8 map, become those of one by a strided 3x3 convolution.

    Sentences at the lower and right border of odd grids are filled up with zeros, after the norm.

    Shape:
        ``(B * h * w, 16, dim)`` to ``(B * ceil(h / 2) * ceil(w / 2), 16, out_dim)``.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = nn.Sequential(nn.Conv2d(dim, out_dim, 3, stride=2, padding=1))

    def forward(self, words: Tensor, grid: Grid) -> Tensor:
        """The words of the next stage; those of its sentences do not see their neighbours'."""
        x = map_of_words(self.norm(words), grid)
        x = F.pad(x, (0, grid[1] % 2 * _WORDS, 0, grid[0] % 2 * _WORDS))
        side = 2 * _WORDS
        x = (
            x.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        )  # (B, h, w, c, 8, 8)
        return self.conv(x.flatten(0, 2)).flatten(2).transpose(1, 2)


class SentenceMerge(nn.Module):
    """Layer norm and a strided 3x3 convolution: ``(B, dim, h, w)`` to ``(B, out_dim, ceil(h / 2), ...)``."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(dim, eps=1e-5)
        self.conv = nn.Sequential(nn.Conv2d(dim, out_dim, 3, stride=2, padding=1))

    def forward(self, sentences: Tensor) -> Tensor:
        """The sentences of the next stage."""
        return self.conv(self.norm(sentences))


class Stage(nn.Module):
    """Blocks and the table of relative positions that they share."""

    def __init__(self, blocks: list[PyramidTNTBlock], grid: Grid, heads: int, reduction: int) -> None:
        super().__init__()
        self.grid, self.reduction = grid, reduction
        keys = math.prod(n // reduction for n in grid)
        self.relative_pos = nn.Parameter(torch.randn(1, heads, math.prod(grid), keys))
        self.blocks = nn.ModuleList(blocks)

    def relative_bias(self, grid: Grid) -> Tensor:
        """The table ``(1, M, h w, h w / r ** 2)`` for another grid: bicubic over queries, then over keys."""
        if grid == self.grid:
            return self.relative_pos
        keys, wanted_keys = (tuple(n // self.reduction for n in g) for g in (self.grid, grid))
        table = self.relative_pos[0].transpose(1, 2).flatten(0, 1)  # (M K, N)
        table = resize_position_table(table.t()[None], self.grid, grid)  # (1, N', M K)
        table = table[0].unflatten(1, (-1, math.prod(keys))).permute(2, 1, 0).flatten(1)  # (K, M N')
        table = resize_position_table(table[None], keys, wanted_keys)[0]  # (K', M N')
        return table.unflatten(1, (-1, math.prod(grid))).permute(1, 2, 0)[None]


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
        self.inner_pos = nn.Parameter(torch.zeros(1, _WORDS**2, inner[0]))
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

"""Words and sentences in a pyramid: what PyramidTNT's stages are made of.

Han et al., "PyramidTNT: Improved Transformer-in-Transformer Baselines with Pyramid Architecture", arXiv
2201.00978. A sentence is a token of the map; its words are the tokens of a finer map below it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.attention import biased_attention
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.mlp import FeedForward
from dense3d.layers.patch_embed import Grid, map_to_tokens, resize_position_table, tokens_to_map
from dense3d.layers.squeeze_excite import TokenGate
from dense3d.layers.transformer_block import DropPath

WORDS = 4  # words on a side of a sentence

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
            sentence = WORDS**2 * inner_dim
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
    squares = words.unflatten(3, (-1, WORDS)).unflatten(2, (-1, WORDS))  # (B, c, h, 4, w, 4)
    return squares.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)


def map_of_words(words: Tensor, grid: Grid) -> Tensor:
    """The inverse of :func:`words_of_map`.

    Example:
        >>> words = torch.randn(2 * 3 * 5, 16, 4)
        >>> torch.equal(words_of_map(map_of_words(words, (3, 5))), words)
        True
    """
    squares = words.unflatten(1, (WORDS, WORDS)).unflatten(0, (-1, *grid))  # (B, h, w, 4, 4, c)
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
        x = F.pad(x, (0, grid[1] % 2 * WORDS, 0, grid[0] % 2 * WORDS))
        side = 2 * WORDS
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

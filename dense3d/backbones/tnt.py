"""TNT: transformer in transformer, a small one on the pixels of each patch beside the one on the patches.

Han et al., "Transformer in Transformer", NeurIPS 2021, arXiv 2103.00112
(huawei-noah/Efficient-AI-Backbones, ``tnt_pytorch/tnt.py``). Official checkpoints: ``dense3d convert tnt``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.plain import (
    PlainBackbone,
    TableArchitecture,
    drop_path_rates,
    initialise_linears,
    read_architecture,
)
from dense3d.errors import ConfigError
from dense3d.layers.mlp import FeedForward
from dense3d.layers.patch_embed import Grid
from dense3d.layers.squeeze_excite import TokenGate
from dense3d.layers.transformer_block import DropPath
from dense3d.registry import MODELS


@dataclass(frozen=True)
class TNTArchitecture(TableArchitecture):
    """What decides the weights of a TNT, beside what all plain architectures have.

    Attributes:
        inner_dim: channels of a word, c.
        inner_heads: heads of the attention among the words of a patch.
        inner_stride: pixels from one word to the next.
        excite: whether the feed-forward branches of the patches are gated by squeeze and excitation.
    """

    qkv_bias: bool = False
    norm_eps: float = 1e-5
    inner_dim: int = 24
    inner_heads: int = 4
    inner_stride: int = 4
    excite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner_heads < 1 or self.inner_dim % self.inner_heads:
            raise ConfigError(
                f"inner_dim={self.inner_dim} of a TNT cannot be shared by {self.inner_heads} heads; choose a "
                "multiple"
            )

    @property
    def num_words(self) -> int:
        """Words of a patch."""
        return math.ceil(self.patch_size / self.inner_stride) ** 2


ARCHITECTURES: dict[str, dict] = {
    "small": dict(embed_dim=384, depth=12, num_heads=6, inner_dim=24),
    "base": dict(embed_dim=640, depth=12, num_heads=10, inner_dim=40),
}


class WordGrid(tuple):
    """Grid ``(h, w)`` of the patches that also carries their words, ``(B * h * w, words, c)``.

    Words never see the patches' tokens, so that whatever an adapter adds to those leaves the words as they
    are: they travel with the grid, each block's in place of the one's before it.
    """

    words: Tensor


class SplitAttention(nn.Module):
    """Self-attention with one projection for queries and keys and another for values.

    Args:
        dim: channels of a token.
        num_heads: M, a divisor of ``dim``.
        bias: whether queries, keys and values have biases.
        scale: factor of the products; ``(dim / M) ** -0.5`` for None.

    Shape:
        ``(B, N, dim)`` to the same.

    Example:
        >>> SplitAttention(8, 2)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, num_heads: int, bias: bool = False, scale: float | None = None) -> None:
        super().__init__()
        self.num_heads, self.scale = num_heads, scale
        self.qk = nn.Linear(dim, 2 * dim, bias=bias)
        self.v = nn.Linear(dim, dim, bias=bias)
        self.get_v: nn.Module | None = None  # as in SelfAttention
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, grid: Grid | None = None, num_prefix: int = 0) -> Tensor:
        """Attention of the tokens among themselves; the grid of the patches is for a local term."""
        query, key = self.qk(tokens).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        value = self.v(tokens).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, M, N, d)
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        if self.get_v is not None:
            attended = attended + self.get_v(value, grid, num_prefix)
        return self.proj(attended.transpose(1, 2).flatten(2))


class WordEmbed(nn.Module):
    """Words: a strided 7x7 convolution of each patch alone, whose border is zero.

    Shape:
        ``(B, C, H, W)`` to ``(B * h * w, words, c)``, row-major, and the grid ``(h, w)``.
    """

    def __init__(self, arch: TNTArchitecture) -> None:
        super().__init__()
        self.patch_size = arch.patch_size
        self.proj = nn.Conv2d(arch.in_channels, arch.inner_dim, 7, stride=arch.inner_stride, padding=3)

    def forward(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Words and the grid of patches; pixels beyond the last whole patch are not seen."""
        size = self.patch_size
        grid = (images.shape[2] // size, images.shape[3] // size)
        images = images[:, :, : grid[0] * size, : grid[1] * size]
        patches = images.unflatten(3, (grid[1], size)).unflatten(2, (grid[0], size))  # (B, C, h, p, w, p)
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)  # (B h w, C, p, p)
        return self.proj(patches).flatten(2).transpose(1, 2), grid


class TNTBlock(nn.Module):
    """A transformer block on the words of each patch, whose result is added to the patches, and one on these.

    Eq. 4 to 8. The class token gets nothing from words. One rate of stochastic depth serves all branches;
    among words it leaves out patches, not images.

    Args:
        arch: the architecture.
        drop_path: rate of stochastic depth.

    Shape:
        words ``(B * N, words, c)`` and tokens ``(B, 1 + N, D)`` to the same.
    """

    def __init__(self, arch: TNTArchitecture, drop_path: float = 0.0) -> None:
        super().__init__()
        inner, dim, eps = arch.inner_dim, arch.embed_dim, arch.norm_eps
        options = dict(bias=arch.qkv_bias, scale=arch.qk_scale)
        self.inner_norm1 = nn.LayerNorm(inner, eps=eps)
        self.inner_attn = SplitAttention(inner, arch.inner_heads, **options)
        self.inner_norm2 = nn.LayerNorm(inner, eps=eps)
        self.inner_mlp = FeedForward(inner, int(inner * arch.mlp_ratio))
        self.proj_norm1 = nn.LayerNorm(arch.num_words * inner, eps=eps)
        self.proj = nn.Linear(arch.num_words * inner, dim, bias=False)
        self.proj_norm2 = nn.LayerNorm(dim, eps=eps)
        self.outer_norm1 = nn.LayerNorm(dim, eps=eps)
        self.outer_attn = SplitAttention(dim, arch.num_heads, **options)
        self.outer_norm2 = nn.LayerNorm(dim, eps=eps)
        self.outer_mlp = FeedForward(dim, int(dim * arch.mlp_ratio))
        self.se_layer = TokenGate(dim, int(dim * 0.25)) if arch.excite else None
        self.drop_path = DropPath(drop_path)

    def forward(self, words: Tensor, tokens: Tensor, grid: Grid | None = None) -> tuple[Tensor, Tensor]:
        """Words and tokens after the block; the grid of the patches is for a local term."""
        words = words + self.drop_path(self.inner_attn(self.inner_norm1(words)))
        words = words + self.drop_path(self.inner_mlp(self.inner_norm2(words)))
        sentences = words.flatten(1).unflatten(0, (len(tokens), -1))  # (B, N, words * c)
        added = self.proj_norm2(self.proj(self.proj_norm1(sentences)))
        tokens = torch.cat([tokens[:, :1], tokens[:, 1:] + added], dim=1)
        tokens = tokens + self.drop_path(self.outer_attn(self.outer_norm1(tokens), grid, 1))
        branch = self.outer_mlp(self.outer_norm2(tokens))
        if self.se_layer is not None:
            branch = branch + self.se_layer(branch)
        return words, tokens + self.drop_path(branch)


@MODELS.register_module()
class TNT(PlainBackbone):
    """TNT as a dense backbone: one map of stride 16, or several; pyramids come from adapters.

    Args:
        arch: ``"small"``, ``"base"``, or a dict with ``name`` and what differs from it, or all attributes of
            :class:`TNTArchitecture`.
        out_indices: blocks whose tokens become maps, ascending; -1 is the last. Blocks after them do not run.
        final_norm: whether maps go through the final norm.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 (official: 0.1).
        frozen_stages: -1 freezes nothing, 0 the embedding, k also the first k blocks, ``depth`` all.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads official weights
            or ours.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB (official: mean and deviation 127.5), H, W >=
        ``patch_size`` -> tuple of ``(B, D, ceil(H / patch_size), ceil(W / patch_size))``. The position table
        of the patches is resized (bicubic), that of the words never changes.

    Raises:
        ConfigError: an argument does not fit the architecture.
        DataError: an image is smaller than a patch, or has another number of channels.

    Example:
        >>> tnt = TNT(dict(name="small", depth=2), out_indices=(0, 1))
        >>> [tuple(f.shape) for f in tnt(torch.zeros(1, 3, 45, 60))]
        [(1, 384, 3, 4), (1, 384, 3, 4)]
    """

    converters = ("tnt",)
    embedding = ("patch_embed", "word_pos", "proj_norm1", "proj", "proj_norm2", "cls_token", "pos_embed")
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(embed_dim=32, depth=4, num_heads=2, pretrain_size=64, inner_dim=4, inner_heads=2),
            out_indices=(0, 1, 2, 3),
        )
    }

    def __init__(
        self,
        arch: str | dict | TNTArchitecture,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        arch = read_architecture(TNTArchitecture, ARCHITECTURES, arch, "TNT")
        super().__init__(arch, out_indices, frozen_stages, with_cp, init_cfg)
        dim, eps, sentence = arch.embed_dim, arch.norm_eps, arch.num_words * arch.inner_dim
        self.patch_embed = WordEmbed(arch)
        self.word_pos = nn.Parameter(torch.zeros(1, arch.num_words, arch.inner_dim))
        self.proj_norm1 = nn.LayerNorm(sentence, eps=eps)
        self.proj = nn.Linear(sentence, dim)
        self.proj_norm2 = nn.LayerNorm(dim, eps=eps)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, math.prod(arch.table_grid), dim))
        self.blocks = nn.ModuleList(TNTBlock(arch, r) for r in drop_path_rates(drop_path_rate, arch.depth))
        self.norm = nn.LayerNorm(dim, eps=eps) if final_norm else None
        initialise_linears(self)
        for table in (self.word_pos, self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)
        self.freeze()

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Class token and patches ``(B, 1 + h * w, D)``, and the grid, which carries the words."""
        words, size = self.patch_embed(images)
        grid = WordGrid(size)
        grid.words = words + self.word_pos
        sentences = grid.words.flatten(1).unflatten(0, (len(images), -1))
        tokens = self.proj_norm2(self.proj(self.proj_norm1(sentences))) + self.position_table(size)
        return torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1), grid

    def run_block(self, index: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Pass words and tokens through one block; blocks have to run one after the other from the first."""
        grid.words, tokens = self.recomputed(self.blocks[index], grid.words, tokens, tuple(grid))
        return tokens

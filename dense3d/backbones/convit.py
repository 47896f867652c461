"""ConViT: gated positional self-attention, which starts as a convolution and can turn to content.

d'Ascoli et al., "ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases", ICML 2021,
arXiv 2103.10697 (facebookresearch/convit). Official checkpoints: ``dense3d convert convit``.
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
from dense3d.layers.attention import SelfAttention
from dense3d.layers.patch_embed import Grid, PatchEmbed
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS


@dataclass(frozen=True)
class ConViTArchitecture(TableArchitecture):
    """What decides the weights of a ConViT, beside what all plain architectures have.

    Attributes:
        local_layers: blocks with gated positional attention; the class token joins behind them.
        locality_strength: inverse of the squared width of the kernels that heads start from.
        position: whether there is a learned table of positions.
    """

    qkv_bias: bool = False
    local_layers: int = 10
    locality_strength: float = 1.0
    position: bool = True


_SIZES = {"tiny": (4, 48), "small": (9, 48), "base": (16, 48)}  # heads, channels of each
ARCHITECTURES: dict[str, dict] = {
    name + plus: dict(embed_dim=heads * width, depth=12, num_heads=heads)
    for plus, extra in (("", 0), ("_plus", 16))
    for name, (heads, width) in ((n, (h, d + extra)) for n, (h, d) in _SIZES.items())
}


class GatedPositionalAttention(nn.Module):
    """Gated positional self-attention, GPSA: a mixture of attention by content and by relative position.

    Eq. 7: ``(1 - s) softmax(q k) + s softmax(w r)`` with ``s`` the sigmoid of a head's gate and ``r`` the
    offset ``(x, y, x ** 2 + y ** 2)`` of a key. The logits of positions are a sum of a term of x and one of
    y; their softmax is therefore a product, and is applied to the rows and then to the columns of the values:
    nothing of the size of tokens by tokens is built for it.

    Args:
        dim: channels of a token.
        num_heads: M, a divisor of ``dim``.
        qkv_bias: whether queries, keys and values have biases.
        qk_scale: factor of the products of queries and keys; ``(dim / M) ** -0.5`` for None.
        locality_strength: of the start, see :meth:`start_local`.

    Shape:
        ``(B, h * w, dim)`` and ``(h, w)`` to ``(B, h * w, dim)``.

    Example:
        >>> GatedPositionalAttention(8, 4)(torch.zeros(2, 15, 8), (3, 5)).shape
        torch.Size([2, 15, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = False,
        qk_scale: float | None = None,
        locality_strength: float = 1.0,
    ) -> None:
        super().__init__()
        self.num_heads, self.qk_scale, self.locality_strength = num_heads, qk_scale, locality_strength
        self.qk = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.v = nn.Linear(dim, dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.pos_proj = nn.Linear(3, num_heads)
        self.gating_param = nn.Parameter(torch.ones(num_heads))
        self.get_v: nn.Module | None = None  # as in SelfAttention
        self.start_local()

    def start_local(self) -> None:
        """Values as they are, and each head a Gaussian about one tap of a convolution's kernel.

        Heads beyond the largest square keep the random start of their positions.
        """
        side = math.isqrt(self.num_heads)
        centre = (side - 1) / 2 if side % 2 == 0 else side // 2
        initialise_linears(self)
        nn.init.eye_(self.v.weight)
        taps = torch.arange(side) - centre
        y, x = torch.meshgrid(taps, taps, indexing="xy")  # x changes slowest
        kernel = torch.stack([2 * x, 2 * y, -torch.ones_like(x)], dim=2).flatten(0, 1)
        with torch.no_grad():
            self.pos_proj.weight[: side**2] = kernel
            self.pos_proj.weight *= self.locality_strength

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention of patches, without prefix tokens."""
        query, key = self.qk(tokens).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        value = self.v(tokens).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, M, N, d)
        content = F.scaled_dot_product_attention(query, key, value, scale=self.qk_scale)
        rows, columns = (p.to(value.dtype) for p in self.positions(grid))
        position = torch.einsum("mij,bmjld->bmild", rows, value.unflatten(2, grid))
        position = torch.einsum("mkl,bmild->bmikd", columns, position).flatten(2, 3)
        gate = self.gating_param.sigmoid().view(1, -1, 1, 1)
        mixed = (1.0 - gate) * content + gate * position
        if self.get_v is not None:
            mixed = mixed + self.get_v(value, grid, 0)
        return self.proj(mixed.to(tokens.dtype).transpose(1, 2).flatten(2))

    def positions(self, grid: Grid) -> tuple[Tensor, Tensor]:
        """Attention by position along rows ``(M, h, h)`` and columns ``(M, w, w)``, query first."""
        weight = self.pos_proj.weight.float()  # (M, 3) of x, y, x ** 2 + y ** 2
        bias = self.pos_proj.bias.float()  # cancels, but gets its gradient of zero
        found = []
        for count, linear in zip(grid, (weight[:, 1], weight[:, 0])):
            place = torch.arange(count, device=weight.device, dtype=torch.float32)
            offset = place[None, :] - place[:, None]  # key minus query
            logits = linear[:, None, None] * offset + weight[:, 2, None, None] * offset.square()
            logits = logits + bias[:, None, None]
            found.append(logits.softmax(dim=2))
        return found[0], found[1]


@MODELS.register_module()
class ConViT(PlainBackbone):
    """ConViT as a dense backbone: one map of stride 16, or several; pyramids come from adapters.

    The class token passes the local blocks untouched, in front of the patches, and joins in behind them.

    Args:
        arch: ``"tiny"``, ``"small"``, ``"base"``, the same with ``_plus``, or a dict with ``name`` and what
            differs from it, or all attributes of :class:`ConViTArchitecture`. ``embed_dim`` is that of all
            heads together.
        out_indices: blocks whose tokens become maps, ascending; -1 is the last. Blocks after them do not run.
        final_norm: whether maps go through the final norm.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 (official: 0.1).
        frozen_stages: -1 freezes nothing, 0 the embedding, k also the first k blocks, ``depth`` all.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads official weights
            or ours.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB, H, W >= ``patch_size`` -> tuple of ``(B, D, ceil(H
        / patch_size), ceil(W / patch_size))``. Offsets are those of the real grid, square or not; the table
        of positions is resized (bicubic).

    Raises:
        ConfigError: an argument does not fit the architecture.
        DataError: an image is smaller than a patch, or has another number of channels.

    Example:
        >>> vit = ConViT(dict(name="tiny", depth=3, local_layers=2), out_indices=(0, 2))
        >>> [tuple(f.shape) for f in vit(torch.zeros(1, 3, 45, 60))]
        [(1, 192, 3, 4), (1, 192, 3, 4)]
    """

    converters = ("convit",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(embed_dim=32, depth=4, num_heads=4, pretrain_size=64, local_layers=3),
            out_indices=(0, 1, 2, 3),
        )
    }

    def __init__(
        self,
        arch: str | dict | ConViTArchitecture,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        arch = read_architecture(ConViTArchitecture, ARCHITECTURES, arch, "ConViT")
        super().__init__(arch, out_indices, frozen_stages, with_cp, init_cfg)
        if not 0 <= arch.local_layers < arch.depth:
            raise ConfigError(
                f"local_layers={arch.local_layers} of a ConViT with {arch.depth} blocks: the class token "
                f"joins behind the local ones, so that there are 0 to {arch.depth - 1}"
            )
        dim = arch.embed_dim
        self.patch_embed = PatchEmbed(arch.patch_size, arch.in_channels, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        table = nn.Parameter(torch.zeros(1, math.prod(arch.table_grid), dim))
        self.pos_embed = table if arch.position else None
        self.blocks = nn.ModuleList(
            TransformerBlock(
                dim,
                arch.num_heads,
                arch.mlp_ratio,
                drop_path=rate,
                norm_eps=arch.norm_eps,
                attn=self._attention(index),
            )
            for index, rate in enumerate(drop_path_rates(drop_path_rate, arch.depth))
        )
        self.norm = nn.LayerNorm(dim, eps=arch.norm_eps) if final_norm else None
        initialise_linears(self)
        for block in self.blocks[: arch.local_layers]:
            block.attn.start_local()
        for table in (self.cls_token, self.pos_embed):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)
        self.freeze()

    def _attention(self, index: int) -> nn.Module:
        arch = self.arch
        if index < arch.local_layers:
            strength = arch.locality_strength
            return GatedPositionalAttention(
                arch.embed_dim, arch.num_heads, arch.qkv_bias, arch.qk_scale, strength
            )
        bias = "full" if arch.qkv_bias else "none"
        return SelfAttention(arch.embed_dim, arch.num_heads, bias, qk_scale=arch.qk_scale)

    def run_block(self, index: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Pass tokens ``(B, 1 + h * w, D)`` through one block; local ones leave the class token as it is."""
        if index >= self.arch.local_layers:
            return super().run_block(index, tokens, grid)
        patches = self.recomputed(self.blocks[index], tokens[:, 1:], grid)
        return torch.cat([tokens[:, :1], patches], dim=1)

"""Plain vision transformers: one class, by configuration DeiT, DINO, AugReg, MAE, BEiT, DINOv2, DINOv3 ....

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; for the others see
:mod:`dense3d.backbones.vit_architectures`. Official checkpoints go through
``dense3d convert deit|dino|augreg|mae|beit|dinov2|dinov3|croco-encoder``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from dense3d.backbones.plain import PlainBackbone, drop_path_rates, initialise_linears, per_block
from dense3d.backbones.vit_architectures import TINY, ViTArchitecture, architecture
from dense3d.backbones.vit_weights import fit, load_pretrained
from dense3d.layers.attention import SelfAttention, WindowAttention
from dense3d.layers.class_heads import TokenHead
from dense3d.layers.feature_maps import ConvBottleneck
from dense3d.layers.mlp import FeedForward, SwiGlu, swiglu_hidden_dim
from dense3d.layers.patch_embed import (
    Grid,
    PatchEmbed,
    map_to_tokens,
    resize_position_table,
    sincos_position_table,
    tokens_to_map,
)
from dense3d.layers.relative_position import RelativePositionBias
from dense3d.layers.rotary import AxialRope
from dense3d.layers.rotary_grid import GridRope
from dense3d.layers.transformer_block import TransformerBlock, token_norm
from dense3d.registry import MODELS


@MODELS.register_module()
class VisionTransformer(PlainBackbone):
    """A plain vision transformer as a dense backbone.

    Args:
        arch: name of a released architecture, or a dict with ``name`` and what differs from it, see
            :func:`dense3d.backbones.vit_architectures.architecture`.
        out_indices: blocks whose tokens become maps, ascending; -1 is the last. Blocks after them do not run.
        prefix_tokens: whether class token and registers take part; without them they are not created.
        final_norm: whether maps go through the final norm; None for what the architecture does.
        window_size: patches on a side of the windows inside which blocks attend; None attends globally. A
            sequence gives each block its own.
        window_padding: what fills up windows at the border, see
            :class:`dense3d.layers.attention.WindowAttention`.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0; a sequence gives each
            block its own.
        frozen_stages: -1 freezes nothing, 0 the embedding, k also the first k blocks, ``depth`` all; frozen
            blocks stay in evaluation mode, without stochastic depth and augmented positions.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads a converted
            checkpoint.

    Attributes:
        out_channels, out_strides: channels and stride of each map.
        embed_dims: channels of a token, D.
        patch_size: side of a patch in pixels.
        num_prefix: P, class token and registers.
        blocks: the transformer blocks.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB, H, W >= ``patch_size`` -> tuple of
        ``(B, D, ceil(H / patch_size), ceil(W / patch_size))``; other sizes are padded right and below with
        zeros.

    Raises:
        ConfigError: an argument does not fit the architecture.
        DataError: an image is smaller than a patch, or has another number of channels.

    Example:
        >>> vit = VisionTransformer(dict(name="dinov2_vits14", depth=2), out_indices=(0, 1))
        >>> [tuple(f.shape) for f in vit(torch.zeros(1, 3, 45, 60))]
        [(1, 384, 4, 5), (1, 384, 4, 5)]
    """

    converters = ("deit", "mae", "beit", "dinov2", "dinov3")  # tried on official files in turn
    embedding = ("patch_embed", "cls_token", "registers", "mask_token", "pos_embed")
    tiny_variants: ClassVar[dict[str, dict]] = {
        name: dict(arch=arch, out_indices=(0, 1, 2, 3)) for name, arch in TINY.items()
    }

    def __init__(
        self,
        arch: str | dict | ViTArchitecture,
        out_indices: Sequence[int] = (-1,),
        prefix_tokens: bool = True,
        final_norm: bool | None = None,
        window_size: int | Sequence[int | None] | None = None,
        window_padding: str = "mask",
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        arch = architecture(arch)
        super().__init__(arch, out_indices, frozen_stages, with_cp, init_cfg)
        self.num_prefix = arch.class_token + arch.num_registers if prefix_tokens else 0
        final_norm = arch.final_norm if final_norm is None else final_norm
        self._build_embedding(prefix_tokens)
        self._build_blocks(window_size, window_padding, drop_path_rate)
        self.norm = token_norm(arch.norm, arch.embed_dim, arch.norm_eps) if final_norm else None
        untied = final_norm and arch.untied_norms and prefix_tokens
        self.cls_norm = token_norm(arch.norm, arch.embed_dim, arch.norm_eps) if untied else None
        self._initialise()
        self.freeze()

    def _build_embedding(self, prefix_tokens: bool) -> None:
        arch, dim = self.arch, self.embed_dims
        self.patch_embed = PatchEmbed(arch.patch_size, arch.in_channels, dim)
        registers = arch.num_registers if prefix_tokens else 0
        has_class_token = prefix_tokens and arch.class_token
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if has_class_token else None
        self.registers = nn.Parameter(torch.zeros(1, registers, dim)) if registers else None
        self.mask_token = nn.Parameter(torch.zeros(1, dim), requires_grad=False) if arch.mask_token else None
        self.pos_embed = None
        if arch.position == "learned":
            self.pos_embed = nn.Parameter(torch.zeros(1, arch.table_grid[0] * arch.table_grid[1], dim))
        elif arch.position == "sincos":
            self.pos_embed = nn.Parameter(sincos_position_table(arch.table_grid, dim), requires_grad=False)
        self.rope = None
        if arch.position == "rope":
            options = {k.removeprefix("rope_"): getattr(arch, k) for k in vars(arch) if k.startswith("rope_")}
            options["dtype"] = getattr(torch, arch.rope_dtype)
            self.rope = AxialRope(dim // arch.num_heads, **options)
        elif arch.position == "grid_rope":
            self.rope = GridRope(dim // arch.num_heads, arch.rope_base)

    def _build_blocks(
        self,
        window_size: int | Sequence[int | None] | None,
        window_padding: str,
        drop_path_rate: float | Sequence[float],
    ) -> None:
        arch, depth = self.arch, self.arch.depth
        sizes = per_block("window_size", window_size, depth)
        rates = drop_path_rates(drop_path_rate, depth)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                arch.embed_dim,
                arch.num_heads,
                layer_scale=arch.layer_scale,
                drop_path=rate,
                norm_eps=arch.norm_eps,
                norm=arch.norm,
                attn=self._attention(size, window_padding),
                mlp=_feed_forward(arch),
            )
            for size, rate in zip(sizes, rates)
        )
        self.residuals = nn.ModuleDict({str(i): ConvBottleneck(arch.embed_dim) for i in arch.residual_blocks})

    def _attention(self, window_size: int | None, padding: str) -> SelfAttention:
        arch, relative = self.arch, None
        if arch.relative_position:
            grid = (window_size, window_size) if window_size else arch.table_grid
            relative = RelativePositionBias(grid, arch.num_heads, self.num_prefix)
        options = dict(
            qkv_bias=arch.qkv_bias,
            proj_bias=arch.proj_bias,
            relative_bias=relative,
            qk_scale=arch.qk_scale,
        )
        if window_size is None:
            return SelfAttention(arch.embed_dim, arch.num_heads, **options)
        return WindowAttention(
            arch.embed_dim, arch.num_heads, window_size=window_size, padding=padding, **options
        )

    def class_head(self, num_classes: int) -> nn.Module:
        """The official tail of a classifier, from what :meth:`encode` gives to logits.

        The class token's, where there is one and a final norm; else that of the mean of the patches.
        """
        arch = self.arch
        mean = self.cls_token is None or self.norm is None
        norm = token_norm(arch.norm, arch.embed_dim, arch.norm_eps)
        distilled = arch.distilled and not mean
        return TokenHead(norm, arch.embed_dim, num_classes, self.num_prefix, mean, distilled)

    def drop_output_norms(self) -> None:
        """Take the final norms away: a classifier has its own."""
        self.norm = self.cls_norm = None

    def embed(self, images: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Grid]:
        """Tokens that enter the first block.

        Args:
            images: ``(B, 3, H, W)``; pixels beyond the last whole patch are not seen.
            mask: ``(B, h * w)``, true for patches that the mask token takes the place of.

        Returns:
            tokens ``(B, P + h * w, D)`` with class token and registers in front, and the grid ``(h, w)``.
        """
        tokens, grid = self.patch_embed(images)
        if mask is not None:
            tokens = torch.where(mask.bool()[..., None], self.mask_token.to(tokens.dtype), tokens)
        if self.pos_embed is not None:
            tokens = tokens + self.position_table(grid)
        prefix = [t.expand(len(tokens), -1, -1) for t in (self.cls_token, self.registers) if t is not None]
        return torch.cat([*prefix, tokens], dim=1), grid

    def resized_table(self, grid: Grid) -> Tensor:
        """The position table of another grid, ``(1, h * w, D)``."""
        arch = self.arch
        return resize_position_table(
            self.pos_embed, arch.table_grid, grid, arch.position_antialias, arch.position_offset
        )

    def run_blocks(self, tokens: Tensor, grid: Grid, start: int = 0, stop: int | None = None) -> Tensor:
        """Pass tokens ``(B, P + h * w, D)`` through ``blocks[start:stop]``; adapters work between ranges."""
        stop = len(self.blocks) if stop is None else stop
        rotation = None
        for index in range(start, stop):
            if self.rope is not None and index < self.frozen_stages:
                rotation = rotation or self.rope.rotation(self.rope.coordinates(grid))
            elif self.rope is not None and (rotation is None or self.rope.training):
                rotation = self.rope(grid)  # while training, each block draws its own augmentation
            tokens = self.recomputed(self.blocks[index], tokens, grid, self.num_prefix, rotation)
            if str(index) in self.residuals:
                tokens = self._mix(self.residuals[str(index)], tokens, grid)
        return tokens

    def _mix(self, convolutions: nn.Module, tokens: Tensor, grid: Grid) -> Tensor:
        prefix, patches = tokens[:, : self.num_prefix], tokens[:, self.num_prefix :]
        return torch.cat([prefix, map_to_tokens(convolutions(tokens_to_map(patches, grid)))], dim=1)

    def normalise(self, tokens: Tensor) -> Tensor:
        """Final norm of all tokens ``(B, P + N, D)``, as far as the architecture has one."""
        if self.norm is None:
            return tokens
        if self.cls_norm is None:
            return self.norm(tokens)
        prefix, patches = tokens[:, : self.num_prefix], tokens[:, self.num_prefix :]
        return torch.cat([self.cls_norm(prefix), self.norm(patches)], dim=1)

    def _layer_id(self, part: str, index: str = "", *rest: str) -> int:
        return super()._layer_id("blocks" if part == "residuals" else part, index, *rest)

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; everything else was initialised at construction."""
        if self.init_cfg and self.init_cfg.get("type") == "Pretrained":
            load_pretrained(self, self.init_cfg["checkpoint"])

    def _initialise(self) -> None:
        """Truncated normal of 0.02 for matrices and tokens; torch's own for the patches."""
        initialise_linears(self.blocks)
        for module in self.blocks.modules():
            if isinstance(module, RelativePositionBias):
                nn.init.trunc_normal_(module.table, std=0.02)
        tables = (self.cls_token, self.registers, self.pos_embed if self.arch.position == "learned" else None)
        for parameter in tables:
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def freeze_after(self, last: int) -> None:
        """Take the blocks after block ``last``, which are not to run, out of the training."""
        super().freeze_after(last)
        for index, module in self.residuals.items():
            if int(index) > last:
                module.requires_grad_(False)

    def frozen_parts(self) -> list[nn.Module | nn.Parameter]:
        """What ``frozen_stages`` freezes: the embedding, blocks, what follows behind all of them."""
        parts, stages = super().frozen_parts(), self.frozen_stages
        parts += [module for name, module in self.residuals.items() if int(name) < stages]
        if stages == self.arch.depth:
            parts += [module for module in (self.rope, self.cls_norm) if module is not None]
        return parts

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Converted weights less the parts that this network was built without, resized to its windows."""
        return fit(self, state)


def _feed_forward(arch: ViTArchitecture) -> nn.Module:
    if arch.ffn == "swiglu":
        width = swiglu_hidden_dim(arch.embed_dim, arch.mlp_ratio, arch.swiglu_multiple)
        return SwiGlu(arch.embed_dim, width, bias=arch.ffn_bias)
    return FeedForward(arch.embed_dim, int(arch.embed_dim * arch.mlp_ratio), bias=arch.ffn_bias)

"""Swin Transformer on radiance grids.

NeRF-RPN, CVPR 2023 (arXiv:2211.11646, ``SwinTransformer_FPN``), and NeRF-MAE, ECCV 2024 (arXiv:2404.01300,
the encoder of ``SwinTransformer_MAE3D_New``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops.misc import MLP

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.layers.transformer_block import DropPath
from dense3d.radiance.positions import check_position_channels, position_table
from dense3d.radiance.window_attention3d import WindowAttention3D
from dense3d.registry import MODELS

# The heads of "swin_b" are those of Swin's paper: the 3, 6, 12, 24 of the released code do not divide 128.
ARCHITECTURES: dict[str, dict] = {
    "swin_t": dict(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    "swin_s": dict(embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    "swin_b": dict(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    "swin_l": dict(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48)),
}


class PatchEmbed3D(nn.Module):
    """Patches of voxels to tokens: a convolution and a layer norm. Voxels behind the last patch go."""

    def __init__(self, in_channels: int, embed_dim: int, patch_size: Sequence[int]) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, embed_dim, tuple(patch_size), tuple(patch_size))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, grids: Tensor) -> Tensor:
        """``(B, in_channels, W, L, H)`` -> ``(B, X, Y, Z, C)``."""
        return self.norm(self.proj(grids).permute(0, 2, 3, 4, 1))


class PatchMerging3D(nn.Module):
    """Eight neighbouring tokens to one; odd sides are padded by a slice of zeros at their end."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8 * dim)
        self.reduction = nn.Linear(8 * dim, out_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, X, Y, Z, C)`` -> ``(B, ceil(X / 2), ceil(Y / 2), ceil(Z / 2), out_dim)``."""
        x = F.pad(x, (0, 0, *(n for side in x.shape[3:0:-1] for n in (0, side % 2))))
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, X', 2, Y', 2, Z', 2, C)
        x = x.permute(0, 1, 3, 5, 6, 4, 2, 7).flatten(4)  # of the eight, the first axis changes fastest
        return self.reduction(self.norm(x))


class SwinBlock3D(nn.Module):
    """Attention in windows and a feed-forward network, each behind a norm and around a shortcut."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Sequence[int],
        shifted: bool,
        mlp_ratio: float,
        dropout: float,
        attention_dropout: float,
        drop_path: float,
        attention: str,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = WindowAttention3D(
            dim,
            num_heads,
            window_size,
            shifted,
            attention_dropout=attention_dropout,
            dropout=dropout,
            path=attention,
        )
        self.mlp = MLP(
            dim, [int(dim * mlp_ratio), dim], activation_layer=nn.GELU, inplace=None, dropout=dropout
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, X, Y, Z, C)`` -> the same."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Stage3D(nn.Module):
    """The merging of patches before a stage, where there is one, and its blocks."""

    def __init__(self, merge: nn.Module | None, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.merge, self.blocks = merge, nn.ModuleList(blocks)


@MODELS.register_module()
class Swin3D(BaseModule):
    """Backbone of radiance grids: a map for each of its stages, of strides 4, 8, 16 and 32.

    Args:
        arch: ``"swin_t"``, ``"swin_s"``, ``"swin_b"``, ``"swin_l"``, or a dict with ``embed_dim``, ``depths``
            and ``num_heads``.
        in_channels: of the grids: colour and opacity.
        patch_size: voxels of a token, one number or one an axis.
        window_size: tokens of an attention window, one number or one an axis.
        mlp_ratio: width of the feed-forward networks over that of the tokens.
        dropout, attention_dropout: in training; 0 in every config of the authors.
        drop_path_rate: stochastic depth of the last block; it grows linearly from 0.
        expand_dim: whether the channels double from stage to stage.
        position_table: whether the fixed table of NeRF-MAE is added to the tokens; NeRF-RPN has none. It
            fits any size, see :func:`dense3d.radiance.positions.position_table`.
        attention: ``"fused"`` or ``"reference"``, see :class:`WindowAttention3D`.
        frozen_stages: -1 freezes nothing, 0 the patch embedding, k it and the first k stages; what is frozen
            stays in evaluation mode.
        with_cp: recompute each block's activations in the backward pass.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` takes the encoder of a file of NeRF-MAE or of
            NeRF-RPN, ours or an official one.

    Shape:
        ``(B, in_channels, W, L, H)``, at least a patch large -> tuple of ``(B, C_i, X_i, Y_i, Z_i)`` with
        ``X_0 = W // patch``, and ``X_i = ceil(X_(i-1) / 2)``.

    Attributes:
        out_channels, out_strides: of the maps.

    Raises:
        ConfigError: an unknown size, lists of different lengths, heads that do not divide the channels, a
            position table for channels that are no multiple of 6, or a size below 1.

    Example:
        >>> import torch
        >>> network = Swin3D(dict(embed_dim=12, depths=(1, 1), num_heads=(2, 4)), position_table=True)
        >>> [tuple(map_.shape) for map_ in network(torch.zeros(1, 4, 33, 20, 16))]
        [(1, 12, 8, 5, 4), (1, 24, 4, 3, 2)]
    """

    def __init__(
        self,
        arch: str | dict = "swin_s",
        in_channels: int = 4,
        patch_size: int | Sequence[int] = 4,
        window_size: int | Sequence[int] = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path_rate: float = 0.1,
        expand_dim: bool = True,
        position_table: bool = False,
        attention: str = "fused",
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        embed_dim, depths, num_heads = _sizes(arch)
        self.patch_size, window = _triple("patch_size", patch_size), _triple("window_size", window_size)
        if not -1 <= frozen_stages <= len(depths):
            raise ConfigError(
                f"Swin3D: frozen_stages={frozen_stages}, but it can be -1 to {len(depths)}, its stages"
            )
        if position_table:
            check_position_channels(embed_dim)
        self.embed_dim, self.in_channels = embed_dim, in_channels
        self.has_positions, self.frozen_stages, self.with_cp = position_table, frozen_stages, with_cp
        self.out_channels = tuple(embed_dim * (2**i if expand_dim else 1) for i in range(len(depths)))
        self.out_strides = tuple(self.patch_size[0] * 2**i for i in range(len(depths)))
        self.patch_embed = PatchEmbed3D(in_channels, embed_dim, self.patch_size)
        last = max(sum(depths) - 1, 1)
        rates = (drop_path_rate * i / last for i in range(sum(depths)))
        self.stages = nn.ModuleList()
        for index, (dim, depth, heads) in enumerate(zip(self.out_channels, depths, num_heads)):
            merge = PatchMerging3D(self.out_channels[index - 1], dim) if index else None
            blocks = [
                SwinBlock3D(
                    dim,
                    heads,
                    window,
                    i % 2 == 1,
                    mlp_ratio,
                    dropout,
                    attention_dropout,
                    next(rates),
                    attention,
                )
                for i in range(depth)
            ]
            self.stages.append(Stage3D(merge, blocks))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self._table: Tensor | None = None
        for module in self._frozen():
            module.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``, if there is one."""
        if self.init_cfg and not self.is_init:
            from dense3d.radiance.loading import load_of_init_cfg

            load_of_init_cfg(self, self.init_cfg)
        self._is_init = True

    def train(self, mode: bool = True) -> Swin3D:
        """Training mode, except of what is frozen."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def forward(self, grids: Tensor) -> tuple[Tensor, ...]:
        """Maps of grids ``(B, in_channels, W, L, H)``, finest first."""
        return self.encode(self.embed(grids))

    def embed(self, grids: Tensor) -> Tensor:
        """Tokens ``(B, X, Y, Z, C)`` with their positions.

        Raises:
            DataError: the grids have another number of channels or are smaller than a patch.
        """
        if grids.ndim != 5 or grids.shape[1] != self.in_channels:
            raise DataError(
                f"Swin3D takes grids (B, {self.in_channels}, W, L, H), not {tuple(grids.shape)}; give "
                "RadianceGrid.to_tensor()[None]"
            )
        if any(side < patch for side, patch in zip(grids.shape[2:], self.patch_size)):
            raise DataError(
                f"a grid of {'x'.join(map(str, grids.shape[2:]))} voxels is smaller than a patch of "
                f"{'x'.join(map(str, self.patch_size))}; pad it with zeros"
            )
        tokens = self.patch_embed(grids)
        return tokens + self.positions(tokens) if self.has_positions else tokens

    def positions(self, tokens: Tensor) -> Tensor:
        """The position table for tokens ``(B, X, Y, Z, C)``: ``(X, Y, Z, C)``."""
        sides = tuple(tokens.shape[1:4])
        if self._table is None or self._table.shape[:3] != sides or self._table.device != tokens.device:
            self._table = position_table(sides, self.embed_dim).to(tokens.device)
        return self._table.to(tokens.dtype)

    def encode(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Maps ``(B, C_i, X_i, Y_i, Z_i)`` of all stages from tokens ``(B, X, Y, Z, C)``."""
        maps = []
        for stage in self.stages:
            tokens = tokens if stage.merge is None else stage.merge(tokens)
            for block in stage.blocks:
                if self.with_cp and tokens.requires_grad:
                    tokens = checkpoint(block, tokens, use_reentrant=False)
                else:
                    tokens = block(tokens)
            maps.append(tokens.permute(0, 4, 1, 2, 3).contiguous())
        return tuple(maps)

    def _frozen(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        return [self.patch_embed, *self.stages[: self.frozen_stages]]


def _sizes(arch: str | dict) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"Swin3D: unknown size {arch!r}{did_you_mean(arch, ARCHITECTURES)} (known: "
                f"{', '.join(ARCHITECTURES)}, or a dict with embed_dim, depths and num_heads)"
            )
        arch = ARCHITECTURES[arch]
    if set(arch) != {"embed_dim", "depths", "num_heads"}:
        raise ConfigError(f"Swin3D: arch has embed_dim, depths and num_heads, not {', '.join(sorted(arch))}")
    depths, heads = tuple(arch["depths"]), tuple(arch["num_heads"])
    if len(depths) != len(heads) or not depths or min(depths) < 1:
        raise ConfigError(
            f"Swin3D: depths={depths} and num_heads={heads} have one number of 1 or more for each stage"
        )
    return arch["embed_dim"], depths, heads


def _triple(name: str, value: int | Sequence[int]) -> tuple[int, int, int]:
    sides = (value,) * 3 if isinstance(value, int) else tuple(value)
    if len(sides) != 3 or min(sides) < 1:
        raise ConfigError(f"Swin3D: {name}={value!r}: give a number of 1 or more, or one for each axis")
    return sides

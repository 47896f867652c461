"""The plain SpectFormer: filters in the frequency domain in the first blocks of a vision transformer.

Patro et al., SpectFormer: Frequency and Attention is what you need in a Vision Transformer, 2023
(arXiv:2304.06446); official code: badripatro/SpectFormers, its vanilla architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dense3d.backbones.spectformer import SpectralGate
from dense3d.backbones.vit import VisionTransformer
from dense3d.backbones.vit_architectures import ViTArchitecture, architecture
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.class_heads import small_linear
from dense3d.layers.patch_embed import Grid
from dense3d.registry import MODELS

# The official code divides all by 6 heads, which only 384 channels can be; of the others the paper's, or the
# nearest that divides.
ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(embed_dim=256, depth=12, num_heads=4),
    "xsmall": dict(embed_dim=384, depth=12, num_heads=6),
    "small": dict(embed_dim=384, depth=19, num_heads=6),
    "base": dict(embed_dim=512, depth=19, num_heads=8),
}


class SpectralBlock(nn.Module):
    """Filter and feed-forward network under one residual: ``x + mlp(norm2(filter(norm1(x))))``.

    Args:
        block: the attention block in whose place it stands; its norms and feed-forward network are taken.
        dim: channels of a token.
        grid: rows and columns of the patches that the filter is for.

    Shape:
        tokens ``(B, h w, dim)`` on a grid ``(h, w)`` to the same.

    Example:
        >>> import torch
        >>> from dense3d.layers.transformer_block import TransformerBlock
        >>> SpectralBlock(TransformerBlock(8, 2), 8, (4, 4))(torch.zeros(2, 15, 8), (3, 5)).shape
        torch.Size([2, 15, 8])
    """

    def __init__(self, block: nn.Module, dim: int, grid: Grid) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mlp = block.norm1, block.norm2, block.mlp
        self.filter = SpectralGate(dim, grid)
        self.drop_path = block.drop_path

    def forward(self, tokens: Tensor, grid: Grid, *_: object) -> Tensor:
        """The tokens, each having seen all others."""
        filtered = self.filter(self.norm1(tokens).unflatten(1, grid)).flatten(1, 2)
        return tokens + self.drop_path(self.mlp(self.norm2(filtered)))


class TokenMeanHead(nn.Module):
    """Layer norm of each token, their mean, a linear layer: ``(B, N, D)`` to ``(B, num_classes)``."""

    def __init__(self, dim: int, num_classes: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.head = small_linear(dim, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the tokens that leave the last block."""
        return self.classify(self.feature(tokens))

    def feature(self, tokens: Tensor) -> Tensor:
        """What the linear layer reads, ``(B, D)``."""
        return self.norm(tokens).mean(dim=1)

    def classify(self, feature: Tensor) -> Tensor:
        """Logits of a :meth:`feature`."""
        return self.head(feature)


@MODELS.register_module()
class PlainSpectFormer(VisionTransformer):
    """The plain SpectFormer: spectral blocks, then attention, on patches without class token.

    Args:
        arch: a size of the paper (:data:`ARCHITECTURES`), or a dict as of :class:`VisionTransformer`, whose
            ``name`` may be one of them; there is no class token, and the position table is learned.
            ``pretrain_size`` is of the filters too.
        spectral_blocks: number of blocks with a filter, the first ones.
        out_indices, final_norm, drop_path_rate, frozen_stages, with_cp, init_cfg: see
            :class:`VisionTransformer`.

    Shape:
        images ``(B, in_channels, H, W)`` with H, W >= ``patch_size`` -> tuple of
        ``(B, D, ceil(H / patch_size), ceil(W / patch_size))``.

    Raises:
        ConfigError: an unknown size, fewer blocks than spectral ones, or an architecture with class token or
            another kind of positions.

    Example:
        >>> import torch
        >>> backbone = PlainSpectFormer(dict(name="xsmall", depth=5, pretrain_size=64))
        >>> [tuple(f.shape) for f in backbone(torch.zeros(1, 3, 45, 60))]
        [(1, 384, 3, 4)]
    """

    converters = ("spectformer-plain",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(embed_dim=32, depth=4, num_heads=2, pretrain_size=56),
            spectral_blocks=2,
            out_indices=(0, 1, 2, 3),
        )
    }

    def __init__(
        self,
        arch: str | dict | ViTArchitecture = "small",
        spectral_blocks: int = 4,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool | None = None,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        arch = _architecture(arch)
        if not 0 <= spectral_blocks <= arch.depth:
            raise ConfigError(
                f"PlainSpectFormer: spectral_blocks={spectral_blocks}, but there are {arch.depth} blocks"
            )
        self.spectral_blocks = spectral_blocks
        super().__init__(
            arch,
            out_indices=out_indices,
            final_norm=final_norm,
            drop_path_rate=drop_path_rate,
            frozen_stages=frozen_stages,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )

    def _build_blocks(self, *args) -> None:
        super()._build_blocks(*args)
        for number in range(self.spectral_blocks):
            self.blocks[number] = SpectralBlock(self.blocks[number], self.embed_dims, self.arch.table_grid)

    def class_head(self, num_classes: int) -> nn.Module:
        """The official tail: the mean of the normalised patches."""
        return TokenMeanHead(self.embed_dims, num_classes, self.arch.norm_eps)


def _architecture(arch: str | dict | ViTArchitecture) -> ViTArchitecture:
    if not isinstance(arch, ViTArchitecture):
        given = {"name": arch} if isinstance(arch, str) else dict(arch)
        name = given.pop("name", None)
        if name is not None and name not in ARCHITECTURES:
            raise ConfigError(
                f"PlainSpectFormer has no size {name!r}{did_you_mean(name, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        arch = architecture({"class_token": False, **ARCHITECTURES.get(name, {}), **given})
    if arch.class_token or arch.num_registers or arch.position != "learned":
        raise ConfigError(
            "PlainSpectFormer filters the patches of a map: its architecture has no class token or "
            "registers, and learned positions"
        )
    return arch

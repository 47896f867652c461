"""Hyena N-D in plain vision transformers and in Swin: convolutions over the whole map instead of attention.

Zimerman and Wolf, Multi-Dimensional Hyena for Spatial Inductive Bias, AISTATS 2024 (arXiv:2309.13600);
official code: Itamarzimm/HyenaND, of plain transformers alone and of square images of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dense3d.backbones.swin import Swin
from dense3d.backbones.vit import VisionTransformer
from dense3d.backbones.vit_architectures import ViTArchitecture, architecture
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.class_heads import TokenHead
from dense3d.layers.hyena import HyenaOperator
from dense3d.layers.patch_embed import Grid
from dense3d.layers.transformer_block import token_norm
from dense3d.registry import MODELS

METHODS = ("hyena2d", "hyena2dattn", "attnhyena2d", "onebyone", "attention")
_TINY_HYENA = dict(hidden_dim=8)


class TokenHyena(HyenaOperator):
    """:class:`HyenaOperator` of tokens ``(B, h w, C)`` on a grid, in the place of a block's attention.

    Example:
        >>> import torch
        >>> TokenHyena(8, side=4, hidden_dim=16)(torch.zeros(2, 15, 8), (3, 5)).shape
        torch.Size([2, 15, 8])
    """

    def forward(self, tokens: Tensor, grid: Grid, *_: object) -> Tensor:
        """The mixed tokens."""
        return super().forward(tokens.unflatten(1, grid)).flatten(1, 2)


@MODELS.register_module()
class HyenaViT(VisionTransformer):
    """A plain vision transformer without class token, some of whose blocks have Hyena instead of attention.

    Args:
        arch: as of :class:`VisionTransformer`: DeiT's sizes by name, or a dict; there is no class token, and
            the position table is learned.
        method: which blocks: ``"hyena2d"`` all; ``"hyena2dattn"`` those up to number ``depth // 2``, counted
            from 0; ``"attnhyena2d"`` those after it; ``"onebyone"`` every second from the first on;
            ``"attention"`` none.
        direction: see :class:`HyenaOperator`; ``"seq"`` is of every second block from the first on, and the
            others are ``"standard"``.
        order, free_filter: see :class:`HyenaOperator`.
        filter_options: arguments of :class:`dense3d.layers.hyena_filter.HyenaFilter`.
        out_indices, final_norm, drop_path_rate, frozen_stages, with_cp, init_cfg: see
            :class:`VisionTransformer`.

    Shape:
        images ``(B, in_channels, H, W)`` with H, W >= ``patch_size`` -> tuple of
        ``(B, D, ceil(H / patch_size), ceil(W / patch_size))``.

    Raises:
        ConfigError: no such method, or an architecture with class token or another kind of positions.

    Example:
        >>> import torch
        >>> vit = HyenaViT(dict(name="deit_tiny_patch16", depth=2, pretrain_size=64), method="onebyone")
        >>> [tuple(f.shape) for f in vit(torch.zeros(1, 3, 45, 60))]
        [(1, 192, 3, 4)]
    """

    converters = ("hyena",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(embed_dim=32, depth=4, num_heads=2, pretrain_size=56),
            method="onebyone",
            filter_options=_TINY_HYENA,
            out_indices=(0, 1, 2, 3),
        )
    }

    def __init__(
        self,
        arch: str | dict | ViTArchitecture = "deit_tiny_patch16",
        method: str = "hyena2d",
        direction: str = "seq",
        order: int = 2,
        free_filter: bool = False,
        filter_options: dict | None = None,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool | None = None,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if method not in METHODS:
            raise ConfigError(
                f"HyenaViT: method={method!r}{did_you_mean(method, METHODS)}: there are {', '.join(METHODS)}"
            )
        self.method = method
        self.hyena_options = _hyena_options(order, direction, free_filter, filter_options)
        super().__init__(
            _without_class_token(arch),
            out_indices=out_indices,
            final_norm=final_norm,
            drop_path_rate=drop_path_rate,
            frozen_stages=frozen_stages,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )

    def _build_blocks(self, *args) -> None:
        super()._build_blocks(*args)
        for number, block in enumerate(self.blocks):
            if self.has_hyena(number):
                options = _of_block(self.hyena_options, number)
                block.attn = TokenHyena(self.embed_dims, self.arch.table_grid[0], **options)

    def has_hyena(self, number: int) -> bool:
        """Whether a block has Hyena."""
        late = number > self.arch.depth // 2
        return {
            "hyena2d": True,
            "hyena2dattn": not late,
            "attnhyena2d": late,
            "onebyone": number % 2 == 0,
            "attention": False,
        }[self.method]

    def class_head(self, num_classes: int) -> nn.Module:
        """The official tail, which reads the first token: the upper left patch."""
        norm = token_norm(self.arch.norm, self.embed_dims, self.arch.norm_eps)
        return TokenHead(norm, self.embed_dims, num_classes, num_prefix=0)


@MODELS.register_module()
class HyenaSwin(Swin):
    """A Swin transformer with Hyena over the whole map instead of attention in windows.

    The paper has Hyena in Swin too, of which no code is public. Here every block convolves the whole map:
    nothing is cut into windows or shifted.

    Args:
        arch: as of :class:`Swin`; heads have no effect.
        pretrain_size: side of the square images that the kernels are for.
        direction: see :class:`HyenaViT`; blocks are counted in their stage.
        order, free_filter, filter_options: see :class:`HyenaViT`.
        mlp_ratio, patch_norm, output_norm, drop_path_rate: see :class:`Swin`.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, embed_dim * 2 ** i, ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Example:
        >>> import torch
        >>> arch = dict(embed_dim=8, depths=(1, 1), num_heads=(1, 1))
        >>> backbone = HyenaSwin(arch, pretrain_size=32, out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    converters = ()
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 1, 1, 1)),
            pretrain_size=64,
            filter_options=_TINY_HYENA,
        )
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        pretrain_size: int = 224,
        direction: str = "seq",
        order: int = 2,
        free_filter: bool = False,
        filter_options: dict | None = None,
        mlp_ratio: float = 4.0,
        patch_norm: bool = True,
        output_norm: bool = True,
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            arch,
            mlp_ratio=mlp_ratio,
            patch_norm=patch_norm,
            output_norm=output_norm,
            drop_path_rate=drop_path_rate,
            in_channels=in_channels,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        options = _hyena_options(order, direction, free_filter, filter_options)
        for index, dim in enumerate(self.channels):
            side = -(-pretrain_size // (self.patch_size * 2**index))
            for number, block in enumerate(self.blocks(index)):
                block.attn = HyenaOperator(dim, side, **_of_block(options, number))
        self._initialise()
        self.freeze()


def _hyena_options(order: int, direction: str, free_filter: bool, filter_options: dict | None) -> dict:
    """Arguments of :class:`HyenaOperator` beside its size."""
    return dict(order=order, direction=direction, free_filter=free_filter, **(filter_options or {}))


def _of_block(options: dict, number: int) -> dict:
    """Options of one block: of ``"seq"``, every second is ``"standard"``."""
    standard = options["direction"] == "seq" and number % 2
    return {**options, "direction": "standard"} if standard else options


def _without_class_token(arch: str | dict | ViTArchitecture) -> ViTArchitecture:
    if not isinstance(arch, ViTArchitecture):
        given = {"name": arch} if isinstance(arch, str) else dict(arch)
        arch = architecture({"class_token": False, **given})
    if arch.class_token or arch.num_registers or arch.position != "learned":
        raise ConfigError(
            "HyenaViT mixes the patches of a map: its architecture has no class token or registers, and "
            "learned positions"
        )
    return arch

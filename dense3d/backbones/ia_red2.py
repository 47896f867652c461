"""IA-RED^2, a vision transformer that leaves out tokens between its groups of blocks.

Pan et al., "IA-RED^2: Interpretability-Aware Redundancy Reduction for Vision Transformers", NeurIPS 2021
(arXiv:2106.12620). The authors' training code is not public; the network is their interpretation model's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dense3d.backbones.token_groups import Interpretation, TokenGroups
from dense3d.backbones.vit import VisionTransformer
from dense3d.backbones.vit_architectures import ViTArchitecture
from dense3d.layers.patch_embed import Grid, tokens_to_map
from dense3d.registry import MODELS


@MODELS.register_module()
class IARed2(VisionTransformer):
    """A vision transformer with an interpreter in front of each group of blocks, which drops patches.

    A patch whose score is 0.5 or less is dropped and does not come back; class token and registers stay. The
    interpreters get no gradients from what the network is trained for and are frozen: rewards train them.

    Args:
        arch: see :class:`VisionTransformer`; with a class token and absolute positions.
        group_sizes: blocks of each group.
        interpreter_heads: heads of the interpreters.
        gather: whether only the kept tokens are computed, while dropped ones keep their last values; else all
            are, kept ones by themselves, and dropped ones are set to zero in front of each group, as in the
            official code. What is kept is the same either way.
        out_indices, final_norm, drop_path_rate, frozen_stages, with_cp, init_cfg: see
            :class:`VisionTransformer`.

    Shape:
        as :class:`VisionTransformer`.

    Raises:
        ConfigError: sizes of groups that do not add up to the depth, an architecture without class token or
            with relative positions, or as :class:`VisionTransformer`.

    Example:
        >>> arch = dict(name="deit_tiny_patch16", embed_dim=48, depth=4, num_heads=2)
        >>> backbone = IARed2(arch, group_sizes=(1, 1, 2))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 45, 60))]
        [(1, 48, 3, 4)]
    """

    converters = ("ia-red2",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(name="deit_tiny_patch16", embed_dim=48, depth=4, num_heads=2, pretrain_size=56),
            group_sizes=(1, 1, 2),
            out_indices=(0, 1, 2, 3),
        )
    }

    def __init__(
        self,
        arch: str | dict | ViTArchitecture = "deit_small_patch16",
        group_sizes: Sequence[int] = (4, 4, 4),
        interpreter_heads: int = 6,
        gather: bool = True,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool | None = None,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            arch,
            out_indices,
            final_norm=final_norm,
            drop_path_rate=drop_path_rate,
            frozen_stages=frozen_stages,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        self.interpreters = TokenGroups(self, group_sizes, interpreter_heads, gather)
        self.interpreters.requires_grad_(False)
        self.group_sizes = self.interpreters.group_sizes

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` to the tuple of maps described in the class."""
        self.check_images(images)
        tokens, grid = self.embed(self.pad(images))
        last = self.out_indices[-1] + 1
        found = self.interpret(tokens, 0, last, {index + 1 for index in self.out_indices}).tokens
        return tuple(tokens_to_map(self.normalise(x)[:, self.num_prefix :], grid) for x in found)

    def run_blocks(self, tokens: Tensor, grid: Grid, start: int = 0, stop: int | None = None) -> Tensor:
        """Pass tokens ``(B, P + h * w, D)`` through ``blocks[start:stop]``.

        A range that does not begin with the first block knows nothing of what was dropped before.
        """
        stop = len(self.blocks) if stop is None else stop
        return self.interpret(tokens, start, stop, {stop}).tokens[-1] if start < stop else tokens

    def interpret(
        self, tokens: Tensor, start: int = 0, stop: int | None = None, points: Collection[int] = ()
    ) -> Interpretation:
        """Pass tokens ``(B, P + N, D)`` through ``blocks[start:stop]`` and tell what is kept and why.

        Args:
            tokens: what :meth:`embed` gives.
            start, stop: range of blocks.
            points: numbers of blocks after which tokens are wanted; after the last one unless given.

        Example:
            >>> backbone = IARed2(**IARed2.tiny_variants[""])
            >>> tokens, _ = backbone.embed(torch.zeros(1, 3, 32, 32))
            >>> backbone.cost(backbone.interpret(tokens).kept).shape
            torch.Size([1])
        """
        return self.interpreters(self, tokens, start, stop, points)

    def cost(self, kept: Sequence[Tensor]) -> Tensor:
        """Estimated share of the blocks' cost that is left, ``(B,)``: groups count by their kept tokens."""
        shares = [mask.float().mean(1) * size for mask, size in zip(kept, self.group_sizes)]
        return torch.stack(shares).sum(0) / sum(self.group_sizes)

"""IA-RED^2, a vision transformer that leaves out tokens between its groups of blocks.

Pan et al., "IA-RED^2: Interpretability-Aware Redundancy Reduction for Vision Transformers", NeurIPS 2021
(arXiv:2106.12620). The authors' training code is not public; the network is their interpretation model's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.backbones.vit import VisionTransformer
from dense3d.backbones.vit_architectures import ViTArchitecture
from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid, tokens_to_map
from dense3d.layers.token_reduction import Interpreter, on_kept_tokens
from dense3d.registry import MODELS

THRESHOLD = 0.5


class Interpretation(NamedTuple):
    """What a pass through the groups gives.

    Attributes:
        tokens: ``(B, P + N, D)`` after each block that was asked for.
        scores: ``(B, P + N)`` for each group; those of prefix tokens mean nothing.
        kept: ``(B, P + N)`` for each group, true for tokens that it computes.
    """

    tokens: list[Tensor]
    scores: list[Tensor]
    kept: list[Tensor]


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
        arch = self.arch
        if sum(group_sizes) != arch.depth or min(group_sizes) < 1:
            raise ConfigError(
                f"IARed2: group_sizes={tuple(group_sizes)} of a ViT with {arch.depth} blocks: give sizes "
                "that add up to them"
            )
        relative = arch.relative_position or arch.position not in ("learned", "sincos", None)
        if self.cls_token is None or relative or arch.residual_blocks:
            raise ConfigError(
                "IARed2 drops tokens of a ViT with a class token, absolute positions and no convolutions; "
                "this one is another: choose a DeiT, DINO, AugReg, MAE or DINOv2"
            )
        self.group_sizes, self.gather = tuple(group_sizes), gather
        self.interpreters = nn.ModuleList(
            Interpreter(arch.embed_dim, interpreter_heads) for _ in self.group_sizes
        )
        self.interpreters.requires_grad_(False)

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
        stop = len(self.blocks) if stop is None else stop
        points = points or {stop}
        result, kept, first = Interpretation([], [], []), None, 0
        for interpreter, size in zip(self.interpreters, self.group_sizes):
            begin, end = max(first, start), min(first + size, stop)
            if begin == first < end:
                scores, kept = self._judge(interpreter, tokens, kept)
                result.scores.append(scores)
                result.kept.append(kept)
                if not self.gather:
                    tokens = tokens * kept[..., None]
            for point in range(begin + 1, end + 1):
                if point in points or point == end:
                    tokens = self._segment(tokens, kept, begin, point)
                    begin = point
                if point in points:
                    result.tokens.append(tokens)
            first += size
        return result

    def cost(self, kept: Sequence[Tensor]) -> Tensor:
        """Estimated share of the blocks' cost that is left, ``(B,)``: groups count by their kept tokens."""
        shares = [mask.float().mean(1) * size for mask, size in zip(kept, self.group_sizes)]
        return torch.stack(shares).sum(0) / sum(self.group_sizes)

    def _judge(self, interpreter: Interpreter, tokens: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            scores = interpreter(tokens, kept)
            kept = scores > THRESHOLD
            kept[:, : self.num_prefix] = True
        return scores, kept

    def _segment(self, tokens: Tensor, kept: Tensor | None, start: int, stop: int) -> Tensor:
        """Blocks of one group."""

        def run(x: Tensor, mask: Tensor | None) -> Tensor:
            for block in self.blocks[start:stop]:
                if self.with_cp and torch.is_grad_enabled():
                    x = checkpoint(block, x, None, 0, None, mask, use_reentrant=False)
                else:
                    x = block(x, None, 0, None, mask)
            return x

        if self.gather and kept is not None:
            return on_kept_tokens(run, tokens, kept)
        return run(tokens, kept)

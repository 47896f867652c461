"""Groups of a plain transformer's blocks, each behind an interpreter that drops tokens: for any family.

Pan et al., "IA-RED^2: Interpretability-Aware Redundancy Reduction for Vision Transformers", NeurIPS 2021
(arXiv:2106.12620).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dense3d.backbones.plain import PlainBackbone
from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.token_reduction import Interpreter, on_kept_tokens
from dense3d.layers.transformer_block import TransformerBlock

THRESHOLD = 0.5


class Interpretation(NamedTuple):
    """What a pass through the groups gives.

    Attributes:
        tokens: ``(B, P + N, D)`` after each block that was asked for.
        scores: ``(B, P + N)`` for each group that judged; those of prefix tokens mean nothing.
        kept: ``(B, P + N)`` for each group that judged, true for tokens that it computes.
    """

    tokens: list[Tensor]
    scores: list[Tensor]
    kept: list[Tensor]


class TokenGroups(nn.ModuleList):
    """The interpreters of a plain transformer, one in front of each group of its blocks, which drop patches.

    A patch whose score is 0.5 or less is dropped and does not come back; class token and registers stay.
    Scores get no gradients here: what trains interpreters calls them itself. The transformer is not part of
    this module but an argument of its calls.

    Args:
        vit: the transformer; see :func:`reduction_faults`.
        group_sizes: blocks of each group.
        num_heads: heads of the interpreters.
        gather: whether only the kept tokens are computed, while dropped ones keep their last values; else all
            are, kept ones by themselves, and dropped ones are set to zero in front of each group, as in the
            official code. What is kept is the same either way.

    Raises:
        ConfigError: a transformer that needs all its tokens, or sizes that do not add up to its depth.

    Example:
        >>> from dense3d.backbones import T2TViT
        >>> vit = T2TViT(dict(name="7", depth=4)).eval()
        >>> groups = TokenGroups(vit, (2, 2), num_heads=4)
        >>> found = groups(vit, vit.embed(torch.zeros(1, 3, 64, 64))[0])
        >>> found.tokens[0].shape, len(found.kept)
        (torch.Size([1, 17, 256]), 2)
    """

    def __init__(
        self, vit: PlainBackbone, group_sizes: Sequence[int], num_heads: int = 6, gather: bool = True
    ) -> None:
        name, faults = type(vit).__name__, reduction_faults(vit)
        if faults:
            raise ConfigError(
                "tokens are dropped of a plain ViT with a class token, whose blocks attend to all tokens "
                f"without regard to places; this {name} has {', '.join(faults)}: choose a DeiT, DINO, "
                "AugReg, MAE, DINOv2 or T2T-ViT"
            )
        if sum(group_sizes) != len(vit.blocks) or min(group_sizes) < 1:
            raise ConfigError(
                f"group_sizes={tuple(group_sizes)} of a ViT with {len(vit.blocks)} blocks: give sizes "
                "that add up to them"
            )
        super().__init__(Interpreter(vit.embed_dims, num_heads) for _ in group_sizes)
        self.group_sizes, self.gather = tuple(group_sizes), gather

    def first_block(self, group: int) -> int:
        """Number of a group's first block."""
        return sum(self.group_sizes[:group])

    def forward(
        self,
        vit: PlainBackbone,
        tokens: Tensor,
        start: int = 0,
        stop: int | None = None,
        points: Collection[int] = (),
        kept: Tensor | None = None,
        judges: int | None = None,
    ) -> Interpretation:
        """Pass tokens ``(B, P + N, D)`` through ``blocks[start:stop]`` and tell what is kept and why.

        A range that does not begin with the first block knows of what was dropped before by ``kept``.

        Args:
            vit: that the groups were made for.
            tokens: what its ``embed`` gives, or blocks before ``start``.
            start, stop: range of blocks.
            points: numbers of blocks after which tokens are wanted; after the last one unless given.
            kept: ``(B, P + N)``, tokens that are left at ``start``; all unless given.
            judges: groups, from the first on, that judge; the others keep what they get. All unless given.
        """
        stop = len(vit.blocks) if stop is None else stop
        points = points or {stop}
        result, first = Interpretation([], [], []), 0
        for group, size in enumerate(self.group_sizes):
            begin, end = max(first, start), min(first + size, stop)
            if begin == first < end:
                if judges is None or group < judges:
                    scores, kept = self.judge(group, tokens, kept, vit.num_prefix)
                    result.scores.append(scores)
                    result.kept.append(kept)
                if not self.gather and kept is not None:
                    tokens = tokens * kept[..., None]
            for point in range(begin + 1, end + 1):
                if point in points or point == end:
                    tokens = self._segment(vit, tokens, kept, begin, point)
                    begin = point
                if point in points:
                    result.tokens.append(tokens)
            first += size
        return result

    @torch.no_grad()
    def judge(
        self, group: int, tokens: Tensor, kept: Tensor | None, num_prefix: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Scores of a group's tokens ``(B, P + N)``, and which of them it keeps."""
        scores = self[group](tokens, kept)
        kept = scores > THRESHOLD
        kept[:, :num_prefix] = True
        return scores, kept

    def _segment(
        self, vit: PlainBackbone, tokens: Tensor, kept: Tensor | None, start: int, stop: int
    ) -> Tensor:
        """Blocks of one group."""

        def run(x: Tensor, mask: Tensor | None) -> Tensor:
            for block in vit.blocks[start:stop]:
                x = vit.recomputed(block, x, None, 0, None, mask)
            return x

        if self.gather and kept is not None and not tokens.is_meta:
            return on_kept_tokens(run, tokens, kept)
        return run(tokens, kept)


def reduction_faults(vit: nn.Module) -> list[str]:
    """What keeps a network from leaving out tokens; empty if nothing does.

    Example:
        >>> from dense3d.backbones import VisionTransformer
        >>> reduction_faults(VisionTransformer(dict(name="dinov3_vits16", depth=1)))
        ['rotary positions']
    """
    if not isinstance(vit, PlainBackbone):
        return ["no blocks of one width"]
    arch = vit.arch
    attentions = [getattr(block, "attn", None) for block in vit.blocks]
    usual = all(type(block) is TransformerBlock for block in vit.blocks)
    mixers = {type(a).__name__ for a in attentions if a is not None and type(a) is not SelfAttention}
    faults = {
        "interpreters of its own": hasattr(vit, "interpreters"),
        "no class token": getattr(vit, "cls_token", None) is None,
        "rotary positions": getattr(vit, "rope", None) is not None,
        "relative positions": getattr(arch, "relative_position", False),
        "local positions": any(getattr(attention, "get_v", None) is not None for attention in attentions),
        "convolutions (residual_blocks)": bool(getattr(arch, "residual_blocks", ())),
        f"blocks of its own ({type(vit.blocks[0]).__name__})": not usual,
        ", ".join(sorted(mixers)): usual and bool(mixers),
    }
    return [fault for fault, is_there in faults.items() if is_there]

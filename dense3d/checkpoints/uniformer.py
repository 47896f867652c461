"""UniFormer checkpoints of Sense-X -> :class:`dense3d.backbones.UniFormer`, classification and dense.

The classifier (``norm``, ``head``, token labelling's ``aux_head``) has no place in a backbone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_LEAF = r"(?:weight|bias)"
_BATCH_NORM = rf"(?:{_LEAF}|running_mean|running_var|num_batches_tracked)"
_BLOCK = r"(stages\.\d\.blocks\.\d+)\."
_EMBED = r"(stages\.\d\.embed)\."

_official = Renaming(
    "UniFormer",
    rules=(
        (rf"{_EMBED}((?:proj|norm)\.{_LEAF}|proj\.\d\.{_BATCH_NORM})", r"\1.\2"),
        (rf"{_BLOCK}((?:pos_embed|conv[12]|attn|attn\.qkv|attn\.proj|mlp\.fc[12])\.{_LEAF})", r"\1.\2"),
        (rf"{_BLOCK}(norm[12]\.{_BATCH_NORM})", r"\1.\2"),
        (rf"{_BLOCK}gamma_([12])", r"\1.ls\2.gamma"),
        (rf"(norm\d\.{_LEAF})", r"\1"),
    ),
    dropped=(rf"norm\.{_BATCH_NORM}", r"(?:aux_)?head\..*"),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official layout to ours: stages and output norms are counted from 0.

    Raises:
        CheckpointError: a name is not UniFormer's.
    """
    return _official({ours(name): value for name, value in official.items()})


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of an official file, without the auxiliary one of token labelling."""
    tail = re.compile(rf"norm\.{_BATCH_NORM}|head\.{_LEAF}")
    return {name: value for name, value in official.items() if tail.fullmatch(name)}


def ours(name: str) -> str:
    """Our name of an official stage, embedding or output norm, and of what is in it.

    Example:
        >>> ours("blocks3.0.attn"), ours("patch_embed1.proj.weight"), ours("norm4.bias"), ours("norm.bias")
        ('stages.2.blocks.0.attn', 'stages.0.embed.proj.weight', 'norm3.bias', 'norm.bias')
    """
    match = re.match(r"(blocks|patch_embed|norm)([1-4])(?=\.|$)", name)
    if match is None:
        return name
    place = {"blocks": "stages.{}.blocks", "patch_embed": "stages.{}.embed", "norm": "norm{}"}[match[1]]
    return place.format(int(match[2]) - 1) + name[match.end() :]

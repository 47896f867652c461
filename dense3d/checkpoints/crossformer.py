"""CrossFormer and CrossFormer++ checkpoints -> :class:`dense3d.backbones.CrossFormer`.

Classification and dense files have the same names but for the classifier, which has no place in a backbone.
Tables that older files hold follow from the group's size and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_LEAF = r"(weight|bias)"
_BLOCK = r"(layers\.\d+\.blocks\.\d+)\."
_DERIVED = (r".*\.(biases|relative_position_index)", r".*attn_mask")
_CLASSIFIER = r"(?:norm|head)\.(?:weight|bias)"

_official = Renaming(
    "CrossFormer",
    rules=(
        (rf"patch_embed\.projs\.(\d+)\.{_LEAF}", r"patch_embed.proj.convs.\1.\2"),
        (rf"patch_embed\.norm\.{_LEAF}", r"patch_embed.norm.\1"),
        (rf"{_BLOCK}(norm[12]|attn\.qkv|attn\.proj|mlp\.fc[12])\.{_LEAF}", r"\1.\2.\3"),
        (rf"{_BLOCK}attn\.position\.mlp\.(\d)\.{_LEAF}", r"\1.attn.position.mlp.\2.\3"),
        (rf"{_BLOCK}ex_conv\.{_LEAF}", r"\1.cooling.\2"),
        (rf"{_BLOCK}ex_ln\.{_LEAF}", r"\1.cooling_norm.\2"),
        (rf"(layers\.\d+\.downsample)\.norm\.{_LEAF}", r"\1.norm.\2"),
        (rf"(layers\.\d+\.downsample)\.reductions\.(\d+)\.{_LEAF}", r"\1.reduction.convs.\2.\3"),
    ),
    dropped=(*_DERIVED, _CLASSIFIER),
    required=False,
)
_POSITION = re.compile(r"(.*\.attn)\.pos\.(?:pos_proj|pos([123])\.([02]))(?=\.|$)")


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official layout to ours.

    Raises:
        CheckpointError: a name is not CrossFormer's.
    """
    return _official({_position(name): value for name, value in official.items()})


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of an official file."""
    return {name: value for name, value in official.items() if re.fullmatch(_CLASSIFIER, name)}


def _position(name: str) -> str:
    """The network of a position bias has its layers in one sequence here, in four modules there.

    Example:
        >>> _position("layers.0.blocks.1.attn.pos.pos_proj.bias"), _position("a.attn.pos.pos2.0.bias")
        ('layers.0.blocks.1.attn.position.mlp.0.bias', 'a.attn.position.mlp.4.bias')
    """
    match = _POSITION.match(name)
    if match is None:
        return name
    number = 0 if match[2] is None else 3 * int(match[2]) - 2 + int(match[3])
    return f"{match[1]}.position.mlp.{number}{name[match.end() :]}"

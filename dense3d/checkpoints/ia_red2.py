"""IA-RED^2 checkpoints -> :class:`dense3d.backbones.IARed2`: the layout of the interpretation model.

Official files have every block twice, by its number and by its place in a group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.vit_layout import (
    BLOCK_RULES,
    EMBEDDING_RULES,
    HEADS,
    NORM_RULE,
    StateDict,
    fold_prefix_positions,
    rename,
    unwrapped,
)

_PLACE = re.compile(r"groups\.(\d+)\.block_list\.(\d+)\.(.+)")
_INTERPRETER = (r"groups\.(\d+)\.agent\.(qk\.(?:weight|bias))", r"interpreters.\1.\2")


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = unwrapped(official)
    required = (*EMBEDDING_RULES, *BLOCK_RULES, _INTERPRETER)
    state = rename("IA-RED2", _numbered(official), rules=(NORM_RULE,), dropped=HEADS, required=required)
    return fold_prefix_positions(state, "IA-RED2")


def convert_head(official: Mapping[str, Tensor]) -> StateDict:
    """The classifier of an official file: ``norm`` and ``head``."""
    return norm_and_linear(unwrapped(official))


def _numbered(official: Mapping[str, Tensor]) -> StateDict:
    """Blocks of groups by their number in the network, in place of what repeats them."""
    places = {tuple(map(int, m.groups()[:2])) for name in official if (m := _PLACE.fullmatch(name))}
    numbers = {place: number for number, place in enumerate(sorted(places))}
    state = {}
    for name, value in official.items():
        match = _PLACE.fullmatch(name)
        if match:
            state[f"blocks.{numbers[int(match[1]), int(match[2])]}.{match[3]}"] = value
        elif not (numbers and name.startswith("blocks.")):
            state[name] = value
    return state

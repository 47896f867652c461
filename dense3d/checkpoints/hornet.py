"""HorNet checkpoints, official classification and dense ones -> :class:`dense3d.backbones.HorNet`.

Final norm and head of a classifier have no place in a backbone; :func:`convert_head` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming

_END = r"\.(weight|bias)"
_BLOCK, _OURS = r"stages\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."
_CLASSIFIER = (rf"norm{_END}", rf"head{_END}")

_official = Renaming(
    "HorNet",
    rules=(
        (rf"downsample_layers\.0\.([01]){_END}", r"patch_embed.\1.\2"),
        (rf"downsample_layers\.(\d+)\.([01]){_END}", r"stages.\1.downsample.\2.\3"),
        (rf"{_BLOCK}(norm[12]){_END}", rf"{_OURS}\3.\4"),
        (rf"{_BLOCK}gamma([12])", rf"{_OURS}ls\3.gamma"),
        (rf"{_BLOCK}pwconv([12]){_END}", rf"{_OURS}mlp.fc\3.\4"),
        (rf"{_BLOCK}gnconv\.(proj_(?:in|out)){_END}", rf"{_OURS}attn.\3.\4"),
        (rf"{_BLOCK}gnconv\.pws\.(\d+){_END}", rf"{_OURS}attn.steps.\3.\4"),
        (rf"{_BLOCK}gnconv\.dwconv{_END}", rf"{_OURS}attn.filter.\3"),
        (rf"{_BLOCK}gnconv\.dwconv\.dw\.weight", rf"{_OURS}attn.filter.local.weight"),
        (rf"{_BLOCK}gnconv\.dwconv\.complex_weight", rf"{_OURS}attn.filter.spectral.weight"),
        (rf"{_BLOCK}gnconv\.dwconv\.((?:pre|post)_norm){_END}", rf"{_OURS}attn.filter.\3.\4"),
        (rf"(norm\d){_END}", r"\1.\2"),
    ),
    dropped=_CLASSIFIER,
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of a classification or dense checkpoint.

    Raises:
        CheckpointError: a name is not HorNet's.
    """
    return {name: _flat(name, value) for name, value in _official(official).items()}


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier: ``norm`` and ``head``."""
    return norm_and_linear(official)


def _flat(name: str, value: Tensor) -> Tensor:
    """Projections, 1 x 1 convolutions there, as matrices."""
    projection = re.search(r"attn\.(proj_in|proj_out|steps\.\d+)\.weight$", name)
    return value[:, :, 0, 0] if projection and value.dim() == 4 else value

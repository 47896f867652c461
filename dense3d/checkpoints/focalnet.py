"""FocalNet checkpoints -> :class:`dense3d.backbones.FocalNet`.

Microsoft's layout (also inside Relation-DETR) and timm's are told apart by their names. In Microsoft's, the
same names ``norm1`` and ``norm2`` stand for norms before and after the branches; all released models with
layer scale (``gamma_1``) have them after. Its linear layers are 1x1 convolutions here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming

_BLOCK = r"layers\.(\d+)\.blocks\.(\d+)\."
_OURS = r"body.layers.\1.blocks.\2."


def _rules(norm: str) -> tuple[tuple[str, str], ...]:
    return (
        (r"patch_embed\.(proj|norm)\.(.+)", r"body.stem.\1.\2"),
        (_BLOCK + r"gamma_([12])", _OURS + r"ls\3.gamma"),
        (_BLOCK + r"(norm[12])\.(weight|bias)", _OURS + rf"\3{norm}.\4"),
        (_BLOCK + r"modulation\.ln\.(weight|bias)", _OURS + r"modulation.norm.\3"),
        (
            _BLOCK + r"(modulation\.(?:f|h|proj|focal_layers\.\d+\.0)\.(?:weight|bias))",
            _OURS + r"\3",
        ),
        (_BLOCK + r"(mlp\.fc[12]\.(?:weight|bias))", _OURS + r"\3"),
        (r"layers\.(\d+)\.downsample\.((?:proj|norm)\.(?:weight|bias))", r"body.layers.\1.downsample.\2"),
        (r"(norm\d\.(?:weight|bias))", r"\1"),
    )


_CLASSIFIER = (r"norm\.(weight|bias)", r"head\..*")
_NORM_BEFORE = Renaming("FocalNet", _rules(""), dropped=_CLASSIFIER, required=False)
_NORM_AFTER = Renaming("FocalNet", _rules("_post"), dropped=_CLASSIFIER, required=False)
_TIMM = Renaming(
    "timm FocalNet",
    rules=((r"((?:stem|layers\.\d+\.(?:blocks\.\d+|downsample))\..+)", r"body.\1"),),
    dropped=_CLASSIFIER,
    required=False,
)


def convert(official: Mapping[str, Tensor], post_norm: bool | None = None) -> dict[str, Tensor]:
    """Microsoft's, Relation-DETR's or timm's layout.

    Args:
        official: names and tensors.
        post_norm: whether the norms stand after the branches (``post_norm`` of the ``arch``), which
            Microsoft's names do not tell. Unless given: with a layer scale, as in all released models.

    Raises:
        CheckpointError: a name is not FocalNet's.
    """
    if any(name.startswith("stem.") for name in official):
        return _TIMM({re.sub(r"^layers_(\d)", r"layers.\1", n): v for n, v in official.items()})
    named = {re.sub(r"^(0|1)\.", "", name): value for name, value in official.items()}
    if post_norm is None:
        post_norm = any(name.endswith(".gamma_1") for name in named)
    renaming = _NORM_AFTER if post_norm else _NORM_BEFORE
    converted = renaming({_next_stage(name): value for name, value in named.items()})
    return {name: _as_convolution(name, value) for name, value in converted.items()}


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of any of the layouts: ``norm`` and ``head``."""
    return norm_and_linear(official)


def _next_stage(name: str) -> str:
    """Down-sampling ends a stage there and begins the next one here."""
    match = re.match(r"layers\.(\d+)\.downsample\.(.*)", name)
    return f"layers.{int(match[1]) + 1}.downsample.{match[2]}" if match else name


def _as_convolution(name: str, value: Tensor) -> Tensor:
    linear = re.search(r"\.(modulation\.(f|proj)|mlp\.fc[12])\.weight$", name)
    return value[:, :, None, None] if linear and value.dim() == 2 else value

"""ConvNeXt checkpoints -> :class:`dense3d.backbones.ConvNeXt`.

``convnext`` reads Meta's layout of V1 and V2 (classification and dense), the sparse one of V2's masked
pre-training, timm's and Hugging Face's; ``dinov3-convnext`` reads DINOv3's, timm's and Hugging Face's of it,
where one norm follows the last map: ``norm3``, which ``convnext`` leaves out as part of a classifier.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.transformers_hierarchical import convnext_from_transformers, dinov3_from_transformers

_BLOCK = r"stages\.(\d+)\.(\d+)\."
_OURS = r"body.stages.\1.blocks.\2."

_RULES = (
    (r"downsample_layers\.0\.([01]\.(?:weight|bias))", r"body.stem.\1"),
    (r"downsample_layers\.(\d+)\.([01]\.(?:weight|bias))", r"body.stages.\1.downsample.\2"),
    (_BLOCK + r"gamma", _OURS + "gamma"),
    (_BLOCK + r"dwconv\.(weight|bias)", _OURS + r"conv_dw.\3"),
    (_BLOCK + r"norm\.(weight|bias)", _OURS + r"norm.\3"),
    (_BLOCK + r"pwconv([12])\.(weight|bias)", _OURS + r"mlp.fc\3.\4"),
    (_BLOCK + r"grn\.gamma", _OURS + "mlp.grn.weight"),
    (_BLOCK + r"grn\.beta", _OURS + "mlp.grn.bias"),
)
_OUTPUT_NORM = (r"(norm\d\.(?:weight|bias))", r"\1")
_CLASSIFIER = (r"norm\.(weight|bias)", r"head\..*")
_DECODER = (r"(decoder|proj|pred)\..*", r"mask_token")  # of masked pre-training

_official = Renaming("ConvNeXt", (*_RULES, _OUTPUT_NORM), dropped=(*_CLASSIFIER, *_DECODER), required=False)
_dinov3 = Renaming(
    "DINOv3 ConvNeXt",
    (*_RULES, (r"norm\.(weight|bias)", r"norm3.\1")),
    dropped=(r"norms\.\d+\..*", r"head\..*"),
    required=False,
)
_TIMM = (
    (r"(stem\.[01]\.(?:weight|bias))", r"body.\1"),
    (r"(stages\.\d+\.(?:downsample\.[01]\.(?:weight|bias)|blocks\.\d+\..+))", r"body.\1"),
)
_timm = Renaming("timm ConvNeXt", _TIMM, dropped=(r"head\..*", r"norm_pre\..*"), required=False)
_timm_dinov3 = Renaming(
    "timm DINOv3 ConvNeXt",
    (*_TIMM, (r"head\.norm\.(weight|bias)", r"norm3.\1")),
    dropped=(r"head\.(?!norm\.).*",),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Meta's layout, timm's, or that of Hugging Face's transformers.

    Raises:
        CheckpointError: a name is not ConvNeXt's.
    """
    official = convnext_from_transformers(official)
    converted = _timm(_nested(official)) if _is_timm(official) else _official(_dense(official))
    return {name: _flat(name, value) for name, value in converted.items()}


def convert_dinov3(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """DINOv3's layout, in which ``norms.3`` repeats ``norm``, timm's, or that of Hugging Face's transformers.

    Raises:
        CheckpointError: a name is not ConvNeXt's.
    """
    converted = (
        _timm_dinov3(_nested(official)) if _is_timm(official) else _dinov3(dinov3_from_transformers(official))
    )
    return {name: _flat(name, value) for name, value in converted.items()}


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of any of the layouts: ``norm`` and ``head``."""
    return norm_and_linear(convnext_from_transformers(official))


def _is_timm(names: Iterable[str]) -> bool:
    return any(name.startswith(("stem.", "stem_")) for name in names)


def _nested(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's names where its ``features_only`` networks have flattened them."""
    return {re.sub(r"^(stem|stages)_(\d)", r"\1.\2", name): value for name, value in state.items()}


def _flat(name: str, value: Tensor) -> Tensor:
    """Vectors of global response normalisation and 1x1 convolutions, without axes of length 1."""
    if ".grn." in name:
        return value.reshape(-1)
    return value[:, :, 0, 0] if re.search(r"mlp\.fc[12]\.weight$", name) and value.dim() == 4 else value


def _dense(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names and shapes of sparse layers (``kernel``, ``ln``, ``linear``) as their dense ones have them."""
    dense = {}
    for name, value in official.items():
        name = re.sub(r"^encoder\.", "", name)
        name = re.sub(r"\.(ln|linear)\.(weight|bias)$", r".\2", name)
        if name.endswith(".kernel"):
            name, value = f"{name.removesuffix('kernel')}weight", _convolution(value)
        elif name.endswith(".bias") and value.dim() > 1:
            value = value.reshape(-1)
        dense[name] = value
    return dense


def _convolution(kernel: Tensor) -> Tensor:
    """Sparse kernel ``(k * k, in, out)``, depthwise ``(k * k, C)``, columns first, to a weight."""
    side = math.isqrt(kernel.shape[0])
    weight = kernel.unflatten(0, (side, side)).transpose(0, 1)  # (k, k, ...), rows first
    if kernel.dim() == 2:
        return weight.permute(2, 0, 1)[:, None].contiguous()
    return weight.permute(3, 2, 0, 1).contiguous()

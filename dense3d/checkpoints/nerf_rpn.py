"""NeRF-RPN of lyclyc52/NeRF_RPN, and the detectors of zubair-irshad/NeRF-MAE.

Hu et al., "NeRF-RPN", CVPR 2023; Irshad et al., "NeRF-MAE", ECCV 2024. Official files hold the backbone with
its pyramid under ``backbone_state_dict`` and the head under ``fcos_state_dict`` or ``rpn_head_state_dict``.
Sizes, anchors and thresholds are in no file: the config states them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense3d.checkpoints.nerf_mae import convert_encoder, unwrapped
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

StateDict = dict[str, Tensor]

WEIGHTS = "(weight|bias)"
NORM = "(weight|bias|running_mean|running_var|num_batches_tracked)"
HEAD_PARTS = {"fcos_state_dict": "fcos_module.", "rpn_head_state_dict": "rpn.head."}
_FCOS = (
    (rf"(?:head\.)?((?:cls|bbox)_tower\.\d+\.{WEIGHTS})", r"\1"),
    (rf"(?:head\.)?((?:cls_logits|bbox_pred|centerness)\.{WEIGHTS})", r"\1"),
    (r"(?:head\.)?(scales\.\d+\.scale)", r"\1"),
)
_ANCHORS = (
    (rf"(?:head\.)?(conv\.\d+\.{WEIGHTS})", r"\1"),
    (rf"(?:head\.)?((?:cls_logits|bbox_pred)\.{WEIGHTS})", r"\1"),
)
_PYRAMID = ((rf"fpn_neck\.((?:lateral|fpn)_convs\.\d+\.{WEIGHTS})", r"\1"),)
_BLOCK = rf"((?:conv\d|bn\d|downsample\.\d)\.{NORM})"
_RESNET = (
    (r"conv1\.weight", "conv1.weight"),
    (rf"bn1\.{NORM}", r"bn1.\1"),
    (rf"layers\.(\d+)\.(\d+)\.{_BLOCK}", r"layers.\1.\2.\3"),
)
_RESNET_PYRAMID = (
    (rf"latlayers\.(\d+)\.{WEIGHTS}", r"lateral_convs.\1.\2"),
    (rf"smooths\.(\d+)\.{WEIGHTS}", r"fpn_convs.\1.\2"),
)
# the network of 64^3 grids: its own names -> those of the other
_SMALL = {"toplayer": "latlayers.0"}
_SMALL |= {f"latlayer{n}": f"latlayers.{n}" for n in (1, 2, 3)}
_SMALL |= {f"smooth{n}": f"smooths.{n - 1}" for n in (1, 2, 3)}
_SMALL |= {f"layer{n}": f"layers.{n - 1}" for n in (1, 2, 3, 4)}


def convert(official: Mapping[str, Any]) -> StateDict:
    """Convert a checkpoint of a whole detector for ``NerfRPN``, whatever its backbone and head.

    Raises:
        CheckpointError: names are missing or unexpected, or there is no head in it.
    """
    state = whole_state(official)
    backbone = _below(state, "backbone.")
    heads = {prefix: _below(state, prefix) for prefix in HEAD_PARTS.values()}
    rest = [name for name in state if not name.startswith(("backbone.", *heads))]
    if rest:
        raise CheckpointError(f"the NeRF-RPN checkpoint has unexpected names: {', '.join(rest[:10])}")
    if not any(heads.values()):
        raise CheckpointError(
            "the NeRF-RPN checkpoint has no head: neither fcos_state_dict nor rpn_head_state_dict"
        )
    if heads["fcos_module."]:
        converted = convert_fcos_head(heads["fcos_module."])
    else:
        converted = convert_anchor_head(heads["rpn.head."])
    converted = {f"bbox_head.{name}": value for name, value in converted.items()}
    return convert_backbone(backbone) | converted


def whole_state(official: Mapping[str, Any]) -> StateDict:
    """The named tensors of a file: parts become ``backbone.``, ``fcos_module.`` and ``rpn.head.``."""
    parts = {"backbone_state_dict": "backbone.", **HEAD_PARTS}
    if not any(name in official for name in parts):
        return unwrapped(official)
    found = {}
    for name, prefix in parts.items():
        found |= {prefix + key: value for key, value in unwrapped(official.get(name, {})).items()}
    return found


def convert_backbone_alone(official: Mapping[str, Any]) -> StateDict:
    """Convert the backbone with its pyramid of a file of a whole detector, or of a backbone.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = whole_state(official)
    return convert_backbone(_below(state, "backbone.") or state)


def convert_backbone(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a backbone with its pyramid to ``backbone.`` and ``neck.`` of ``NerfRPN``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    if any("patch_partition" in name for name in official):
        levels = convert_encoder(official)
        pyramid = Renaming("nerf-rpn", _PYRAMID)({n: v for n, v in official.items() if "fpn_neck." in n})
    elif any(name.startswith("fpn_neck.") for name in official):
        levels, pyramid = _vgg(official)
    else:
        levels, pyramid = _resnet(official)
    levels = {f"backbone.{name}": value for name, value in levels.items()}
    return levels | {f"neck.{name}": value for name, value in pyramid.items()}


def convert_fcos_head(official: Mapping[str, Tensor]) -> StateDict:
    """Convert an anchor-free head for ``FCOSHead3D``; the scale of the unused fifth level goes.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    head = Renaming("nerf-rpn", _FCOS, dropped=(r"(?:head\.)?scales\.4\.scale",))(official)
    return {name: value.squeeze() if name.endswith(".scale") else value for name, value in head.items()}


def convert_anchor_head(official: Mapping[str, Tensor]) -> StateDict:
    """Convert an anchor-based head for ``AnchorHead3D``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    required = any(re.match(r"(head\.)?conv\.", name) for name in official)
    return Renaming("nerf-rpn", _ANCHORS, required=required)(official)


def _below(state: Mapping[str, Tensor], prefix: str) -> StateDict:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _vgg(official: Mapping[str, Tensor]) -> tuple[StateDict, StateDict]:
    """Levels and pyramid of a VGG, whose stem and stages are one sequence in the official file."""
    stages = sorted({int(m[1]) for m in _matches(r"layers\.(\d+)\.\d+\.weight", official)})
    if len(stages) != 4:
        raise CheckpointError(f"a VGG of NeRF-RPN has 4 stages, and the checkpoint has {len(stages)}")
    rules = [(rf"layers\.([01])\.{NORM}", r"stem.\1.\2")]
    rules += [
        (rf"layers\.{number}\.(\d+)\.{NORM}", rf"stages.{place}.\1.\2") for place, number in enumerate(stages)
    ]
    if any(name.startswith("starting_layers.") for name in official):
        rules.append((rf"((?:starting_layers|ds_layers)\.\d+\.{NORM})", r"\1"))
    own = {name: value for name, value in official.items() if not name.startswith("fpn_neck.")}
    pyramid = {name: value for name, value in official.items() if name.startswith("fpn_neck.")}
    return Renaming("nerf-rpn", rules)(own), Renaming("nerf-rpn", _PYRAMID)(pyramid)


def _resnet(official: Mapping[str, Tensor]) -> tuple[StateDict, StateDict]:
    """Levels and pyramid of a ResNet; the official file counts those of the pyramid from the top."""
    state = {_one_name(name): value for name, value in official.items()}
    of_pyramid = ("latlayers.", "smooths.")
    levels = Renaming("nerf-rpn", _RESNET)({n: v for n, v in state.items() if not n.startswith(of_pyramid)})
    pyramid = {name: value for name, value in state.items() if name.startswith(of_pyramid)}
    last = max((int(m[1]) for m in _matches(r"latlayers\.(\d+)\.weight", pyramid)), default=0)

    def turned(match: re.Match) -> str:
        return f"{match[1]}.{last - int(match[2]) - (match[1] == 'smooths')}."

    pyramid = {re.sub(r"^(latlayers|smooths)\.(\d+)\.", turned, n): v for n, v in pyramid.items()}
    return levels, Renaming("nerf-rpn", _RESNET_PYRAMID)(pyramid)


def _one_name(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{_SMALL.get(first, first)}.{rest}"


def _matches(pattern: str, names: Mapping[str, Any]) -> list[re.Match]:
    return [match for name in names if (match := re.fullmatch(pattern, name))]

"""Masked scene modelling of phermosilla/msm: its network, HUNet.

Hermosilla et al., "Masked Scene Modeling", CVPR 2025. The released file holds under ``state_dict`` (or
``model``) the student with ``module.student.`` before its names; the inference code has it under
``encoder.``. Levels of the decoder are counted from the coarsest officially and from the finest here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

StateDict = dict[str, Tensor]

_CONTAINERS = ("state_dict", "model")
_PREFIXES = ("module.student.", "student.", "module.encoder.", "encoder.", "module.", "")
_MARKER = "init_transform.0.weight"
_OUR_MARKER = "stem.0.weight"
_PARTS = (
    "init_transform|down|resnet_enc|att_enc|decoder_init_norm|up|att_dec|resnet_dec|linears_skip|skip"
    "|final_stem"
)
_WEIGHTS = "(weight|bias)"
_NORM = r"norm\.(scale|weight|bias)"


def convert(official: Mapping[str, Any]) -> StateDict:
    """Convert an official file for a model whose ``backbone`` is a ``HUNet``.

    What a file holds beside the network (a teacher, predictors), which pre-training alone uses, is dropped.

    Raises:
        CheckpointError: there is no such network in it, or a name of the network is unexpected.
    """
    return {f"backbone.{name}": value for name, value in convert_backbone(official).items()}


def convert_backbone(official: Mapping[str, Any]) -> StateDict:
    """Convert an official file for ``HUNet`` itself; see :func:`convert`.

    Raises:
        CheckpointError: there is no such network in it, or a name of the network is unexpected.
    """
    state = _network_of(official)
    steps = {match[1] for name in state if (match := re.match(r"down\.(\d+)\.", name))}
    rules = [*_encoder_rules(), *_decoder_rules(len(steps) + 1)]
    converted = Renaming("msm", rules, dropped=(rf"(?!(?:{_PARTS})\.).*",), required=False)(state)
    return {
        _counted_from_0(name).replace(".scale", ".weight"): _vector(name, v) for name, v in converted.items()
    }


def network_weights(state: StateDict) -> StateDict:
    """The weights of a ``HUNet`` among those of a model of ours that has one, or of an official file.

    Args:
        state: names and tensors of a whole model.

    Returns:
        Those of the network under its own names: the student's of pre-training, a model's ``backbone``; none
        where there is no network.

    Example:
        >>> import torch
        >>> list(network_weights({"student.stem.0.weight": torch.ones(1), "predict.bias": torch.ones(1)}))
        ['stem.0.weight']
    """
    for prefix in ("student.", "backbone.", ""):
        if f"{prefix}{_OUR_MARKER}" in state:
            return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    return convert_backbone(state) if any(name.endswith(_MARKER) for name in state) else {}


def _network_of(official: Mapping[str, Any]) -> StateDict:
    """The network's own names, without containers and prefixes."""
    for key in _CONTAINERS:
        if isinstance(official.get(key), Mapping):
            official = official[key]
            break
    tensors = {name: value for name, value in official.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if prefix + _MARKER in tensors:
            return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    raise CheckpointError(
        f"this is no official msm checkpoint: no name ends in {_MARKER} behind module.student. or encoder."
    )


def _encoder_rules() -> list[tuple[str, str]]:
    return [
        (rf"init_transform\.0\.{_WEIGHTS}", r"stem.0.\1"),
        (rf"init_transform\.1\.{_NORM}", r"stem.1.\1"),
        (rf"down\.(\d+)\.0\.{_WEIGHTS}", r"down.\1.\2"),
        (rf"down\.(\d+)\.1\.{_NORM}", r"down_norm.\1.\2"),
        (rf"decoder_init_norm\.{_NORM}", r"bottleneck_norm.\1"),
        (rf"final_stem\.{_WEIGHTS}", r"final.\1"),
        *_stage_rules(r"resnet_enc\.(\d+)", r"att_enc\.(\d+)", r"encoder.\1"),
    ]


def _decoder_rules(num_levels: int) -> list[tuple[str, str]]:
    rules = []
    for number in range(num_levels):
        level = num_levels - 1 - number
        rules += _stage_rules(rf"resnet_dec\.({number})", rf"att_dec\.({number})", f"decoder.{level}")
    for number in range(num_levels - 1):  # steps to the finer level
        level = num_levels - 2 - number
        rules += [
            (rf"up\.{number}\.0\.{_NORM}", rf"up_norm.{level}.\1"),
            (rf"up\.{number}\.1\.{_WEIGHTS}", rf"up.{level}.\1"),
            (rf"linears_skip\.{number}\.0\.{_NORM}", rf"skip.{level}.0.\1"),
            (rf"linears_skip\.{number}\.1\.{_WEIGHTS}", rf"skip.{level}.1.\1"),
            (rf"skip\.{number}\.gamma", f"up_scale.{level}"),
        ]
    return rules


def _stage_rules(convs: str, attentions: str, ours: str) -> list[tuple[str, str]]:
    """Rules of a level's blocks; ``convs`` and ``attentions`` have one group. Attention blocks count from 1,
    as the curves come before them in the official sequence."""
    conv, attention = rf"{convs}\.(\d+)\.", rf"{attentions}\.(\d+)\."
    block, mixer = rf"{ours}.convs.\2", rf"{ours}.attentions.<\2>"
    return [
        (rf"{conv}(conv[12])\.{_WEIGHTS}", rf"{block}.\3.\4"),
        (rf"{conv}norm\.{_NORM}", rf"{block}.norm1.\3"),
        (rf"{conv}norm_post_layer\.{_NORM}", rf"{block}.norm2.\3"),
        (rf"{conv}skip_path\.gamma", rf"{block}.residual.gamma"),
        (rf"{attention}norm\.{_NORM}", rf"{mixer}.norm1.\3"),
        (rf"{attention}linear_in\.{_WEIGHTS}", rf"{mixer}.attn.qkv.\3"),
        (rf"{attention}linear_out\.{_WEIGHTS}", rf"{mixer}.attn.proj.\3"),
        (rf"{attention}skip_path_([12])\.gamma", rf"{mixer}.residual\3.gamma"),
        (rf"{attention}(?:mlp_norm|mlp\.0)\.{_NORM}", rf"{mixer}.norm2.\3"),
        (rf"{attention}(?:mlp_lin_1|mlp\.1)\.{_WEIGHTS}", rf"{mixer}.mlp.fc1.\3"),
        (rf"{attention}(?:mlp_lin_2|mlp\.3)\.{_WEIGHTS}", rf"{mixer}.mlp.fc2.\3"),
    ]


def _counted_from_0(name: str) -> str:
    return re.sub(r"<(\d+)>", lambda match: str(int(match[1]) - 1), name)


def _vector(name: str, value: Tensor) -> Tensor:
    """The scales of branches, which are (1, C) officially, as vectors."""
    return value.flatten() if name.endswith("gamma") or name.startswith("up_scale.") else value

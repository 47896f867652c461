"""CroCo-Stereo, CroCo-Flow and the encoder with a DPT head (naver/croco) -> ``stereo.croco_stereo``.

The official modules hold parts of the head under two names each; a file has the tensors twice, or once under
either name. Both are brought to one, and have to agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from dense3d.checkpoints.croco import NETWORK_RULES, OPTIONAL_RULES
from dense3d.checkpoints.croco_settings import constructor_arguments, network_arguments, parse_call
from dense3d.checkpoints.dpt import DPT_FUSION_RULES, DPT_UNUSED
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.vit_layout import StateDict, rename, unwrapped
from dense3d.errors import CheckpointError

_HEAD = "head.dpt."
_SECOND_NAMES = (
    (r"scratch\.layer([1-4])_rn\.(.+)", r"scratch.layer_rn.{}.\2"),
    (r"act_([1-4])_postprocess\.(.+)", r"act_postprocess.{}.\2"),
)
_rename_head = Renaming(
    "croco",
    rules=(
        (r"act_postprocess\.(\d)\.0\.(.+)", r"projections.\1.\2"),
        (r"act_postprocess\.(\d)\.1\.(.+)", r"resizers.\1.\2"),
        (r"scratch\.layer_rn\.(\d)\.weight", r"laterals.\1.weight"),
        *DPT_FUSION_RULES,
        (r"head\.0\.(.+)", r"neck.\1"),
        (r"head\.2\.(.+)", r"output.0.\1"),
        (r"head\.4\.(.+)", r"output.2.\1"),
    ),
    dropped=DPT_UNUSED,
)
_LOSSES = {
    "LaplacianLossBounded2": "LaplacianLossBounded2",
    "LaplacianLossBounded": "LaplacianLossBounded",
    "LaplacianLoss": "LaplacianLoss",
    "L1Loss": "DenseL1Loss",
}


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a checkpoint of CroCo-Stereo or CroCo-Flow for ``CrocoStereo`` or ``CrocoFlow``.

    Raises:
        CheckpointError: names are missing or unexpected, or two copies of one tensor differ.
    """
    network, head = _split(unwrapped(official))
    return rename("croco", network, OPTIONAL_RULES, required=NETWORK_RULES) | _convert_head(head)


def convert_monocular(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a checkpoint of the encoder with a head, ``CroCoDownstreamMonocularEncoder``.

    Raises:
        CheckpointError: see :func:`convert`.
    """
    network, head = _split(unwrapped(official))
    rules = tuple(rule for rule in NETWORK_RULES if not rule[0].startswith("(dec"))
    unused = ("dec_pos_embed",)  # the official class has the table, and no decoder
    return rename("croco", network, OPTIONAL_RULES, unused, rules) | _convert_head(head)


def _split(state: Mapping[str, Tensor]) -> tuple[StateDict, StateDict]:
    network = {name: value for name, value in state.items() if not name.startswith("head.")}
    return network, {name: value for name, value in state.items() if name.startswith("head.")}


def _convert_head(head: Mapping[str, Tensor]) -> StateDict:
    if not head:
        raise CheckpointError(
            "this checkpoint has no head of a task: it is one of the pre-training, which the converter "
            "'croco' reads"
        )
    foreign = next((name for name in head if not name.startswith(_HEAD)), None)
    if foreign:
        raise CheckpointError(f"the head of this checkpoint is no DPT head: it has {foreign!r}")
    single = _single({name.removeprefix(_HEAD): value for name, value in head.items()})
    for option, name in _foreign_options(single):
        raise CheckpointError(
            f"the DPT head of this checkpoint was built with {option} ({_HEAD}{name}); only heads of "
            "regression without batch norm, as of CroCo-Stereo and CroCo-Flow, can be converted"
        )
    return {f"head.dpt.{name}": value for name, value in _rename_head(single).items()}


def _foreign_options(head: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Official options that show in the names, of which there are none here, each with such a name."""
    for name in head:
        if re.search(r"\.bn\d\.", name) or name == "head.1.weight":
            yield "use_bn=True", name
    if "head.4.weight" in head and "head.2.weight" not in head:
        yield "head_type='semseg'", "head.4.weight"


def _single(head: Mapping[str, Tensor]) -> StateDict:
    """Each tensor under its first name.

    Raises:
        CheckpointError: the copy under the second name is another one.
    """
    single: StateDict = {}
    for name, value in head.items():
        first = _first_name(name)
        if first in single and not torch.equal(single[first], value):
            raise CheckpointError(
                f"{_HEAD}{name} and its copy {_HEAD}{first} differ: the checkpoint is damaged"
            )
        single[first] = value
    return single


def _first_name(name: str) -> str:
    for pattern, replacement in _SECOND_NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement.format(int(match[1]) - 1))
    return name


def settings_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``CrocoStereo`` or ``CrocoFlow`` that a whole official file tells.

    Args:
        checkpoint: ``model`` and ``args``, the options of the training command, or named tensors alone.

    Returns:
        ``network`` and, as far as the file says, ``crop_size``, ``loss`` and ``test_cfg``.

    Raises:
        CheckpointError: what the file says cannot be read, or is not what its weights are.
    """
    options = checkpoint.get("args")
    options = options if isinstance(options, Mapping) else getattr(options, "__dict__", {})
    given = options.get("croco_args")
    given = constructor_arguments({"croco_kwargs": given} if isinstance(given, Mapping) else checkpoint)
    found: dict[str, Any] = {"network": network_arguments(given, unwrapped(checkpoint))}
    if options.get("crop"):
        found["crop_size"] = [int(side) for side in options["crop"]]
    if isinstance(options.get("criterion"), str):
        found["loss"] = loss_of(options["criterion"])
    test = {"tile_conf_mode": "tile_conf_mode", "val_overlap": "overlap"}
    test_cfg = {ours: options[theirs] for theirs, ours in test.items() if options.get(theirs)}
    return found | ({"test_cfg": test_cfg} if test_cfg else {})


def loss_of(criterion: str) -> dict[str, Any]:
    """Config of a loss from the official option, such as ``"LaplacianLossBounded2(max_gtnorm=256.)"``.

    Raises:
        CheckpointError: it is none of the official losses.

    Example:
        >>> loss_of("LaplacianLossBounded(max_gtnorm=10000.)")
        {'type': 'LaplacianLossBounded', 'max_gtnorm': 10000.0}
    """
    name = criterion.split("(")[0].strip()
    if name not in _LOSSES:
        raise CheckpointError(
            f"the checkpoint was trained with the criterion {criterion[:80]!r}; known are "
            f"{', '.join(_LOSSES)}"
        )
    return {"type": _LOSSES[name], **parse_call(criterion, name)}

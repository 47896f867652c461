"""Official checkpoints to ours: one converter a system, imported when it is used.

A converter is a :class:`dense3d.checkpoints.renaming.Renaming`, or a function of a state dict, in a module
that :data:`CONVERTERS` names. Every name of the official file is accounted for; none is passed over.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dense3d.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import torch

# system -> "module:converter"
CONVERTERS: dict[str, str] = {
    "resnet": "dense3d.checkpoints.resnet:convert",
    "focalnet": "dense3d.checkpoints.focalnet:convert",
    "swin": "dense3d.checkpoints.swin:convert",
    "swin-mmdet": "dense3d.checkpoints.swin:convert_mmdet",
    "swin-timm": "dense3d.checkpoints.swin:convert_timm",
    "swin-torchvision": "dense3d.checkpoints.swin:convert_torchvision",
}


def convert(system: str, official_state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename and reshape an official state dict into ours.

    Args:
        system: a key of :data:`CONVERTERS`.
        official_state_dict: names and tensors, as the official code saves them.

    Returns:
        A new state dict for strict loading.

    Raises:
        ConfigError: no converter for ``system``.
        CheckpointError: names are missing or unexpected; the message lists them.
    """
    if system not in CONVERTERS:
        raise ConfigError(
            f"no converter for the system {system!r}{did_you_mean(system, CONVERTERS)} "
            f"(known: {', '.join(sorted(CONVERTERS))})"
        )
    module, _, name = CONVERTERS[system].partition(":")
    converter: Callable = getattr(importlib.import_module(module), name)
    return converter(official_state_dict)

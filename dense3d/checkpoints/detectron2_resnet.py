"""ResNet in detectron2's names -> timm's (torchvision's), inside a :class:`TimmBackbone`.

detectron2 keeps each norm inside its convolution and numbers the stages from res2; frozen batch norms have
no counter of batches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_rename = Renaming(
    "detectron2 ResNet",
    rules=(
        (r"stem\.conv1\.norm\.(.+)", r"bn1.\1"),
        (r"stem\.conv1\.weight", "conv1.weight"),
        (r"res(\d)\.(\d+)\.conv(\d)\.norm\.(.+)", r"layer\1.\2.bn\3.\4"),
        (r"res(\d)\.(\d+)\.conv(\d)\.weight", r"layer\1.\2.conv\3.weight"),
        (r"res(\d)\.(\d+)\.shortcut\.norm\.(.+)", r"layer\1.\2.downsample.1.\3"),
        (r"res(\d)\.(\d+)\.shortcut\.weight", r"layer\1.\2.downsample.0.weight"),
    ),
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a backbone's state dict.

    Raises:
        CheckpointError: a name is not of a ResNet of detectron2.
    """
    converted = {}
    for name, tensor in _rename(official).items():
        name = re.sub(r"^layer(\d)", lambda match: f"layer{int(match[1]) - 1}", name)
        converted[f"body.{name}"] = tensor
        if name.endswith("running_var"):
            counter = f"body.{name.removesuffix('running_var')}num_batches_tracked"
            converted.setdefault(counter, torch.zeros((), dtype=torch.long))
    return converted

"""What official checkpoints of mask transformers share: detectron2's names and the order of the classes.

* A model is ``backbone.*`` and ``sem_seg_head.*``; each part has rules of its own.
* detectron2's ResNet keeps each norm inside its convolution and numbers the stages from res2. It becomes
  timm's (torchvision's), inside a :class:`TimmBackbone`.
* Our classes are in one order: things first, each kind by its official number. COCO's are so already;
  Cityscapes' official numbers are its train ids, ADE20K's the positions in the list of 150 classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

CITYSCAPES_STUFF = tuple(range(11))
ADE20K_STUFF = (
    *(0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61),
    *(63, 68, 77, 79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141),
    145,
)
CITYSCAPES_CLASSES, ADE20K_CLASSES = 19, 150

_BACKBONE, _PREDICTOR = "backbone.", "sem_seg_head.predictor."
_resnet = Renaming(
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


@dataclass(frozen=True)
class MaskTransformer:
    """Converter of one system: calling it renames an official state dict.

    Attributes:
        system: named in messages.
        mark: start of the names below ``sem_seg_head.predictor.`` that no other system has.
        head: converts all names but the backbone's.
        backbone: converts the names of a backbone that is no ResNet, without their prefix.
        class_rows: pattern of our names of parameters with one row a class.
    """

    system: str
    mark: str
    head: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    backbone: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    class_rows: str

    def __call__(self, official: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official state dict.

        Raises:
            CheckpointError: it is none of this system; the message lists the names that do not fit.
        """
        if not any(self.mark in name for name in official):
            raise CheckpointError(
                f"this is no official {self.system} checkpoint: it has no name like {_PREDICTOR}{self.mark}*"
            )
        backbone = {n.removeprefix(_BACKBONE): v for n, v in official.items() if n.startswith(_BACKBONE)}
        rest = {name: value for name, value in official.items() if not name.startswith(_BACKBONE)}
        convert_backbone = convert_resnet if "stem.conv1.weight" in backbone else self.backbone
        converted = {f"{_BACKBONE}{name}": value for name, value in convert_backbone(backbone).items()}
        return converted | self.head(rest)

    def cityscapes(self, official: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The conversion for Cityscapes panoptic, whose official class rows are train ids."""
        return self.reordered(self(official), CITYSCAPES_STUFF, CITYSCAPES_CLASSES)

    def ade20k(self, official: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The conversion for ADE20K panoptic."""
        return self.reordered(self(official), ADE20K_STUFF, ADE20K_CLASSES)

    def reordered(
        self, state: dict[str, Tensor], stuff: Collection[int], num_classes: int
    ) -> dict[str, Tensor]:
        """A converted state dict with its class rows in our order; see :func:`things_first`."""
        rows = [name for name in state if re.fullmatch(self.class_rows, name)]
        return state | {name: things_first(state[name], stuff, num_classes) for name in rows}


def things_first(rows: Tensor, stuff: Collection[int], num_classes: int) -> Tensor:
    """Reorder the first axis; rows beyond the classes (void) stay at the end.

    Args:
        rows: ``(num_classes or more, ...)``.
        stuff: official numbers of the stuff classes.
        num_classes: K.

    Example:
        >>> things_first(torch.tensor([10, 11, 12, 13]), stuff={0, 2}, num_classes=3).tolist()
        [11, 10, 12, 13]
    """
    order = sorted(range(num_classes), key=lambda i: (i in stuff, i))
    return torch.cat((rows[torch.tensor(order)], rows[num_classes:]))


def convert_resnet(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a ResNet; frozen batch norms get the counter of batches that they lack.

    Raises:
        CheckpointError: a name is not of a ResNet of detectron2.
    """
    converted = {}
    for name, tensor in _resnet(official).items():
        name = re.sub(r"^layer(\d)", lambda match: f"layer{int(match[1]) - 1}", name)
        converted[f"body.{name}"] = tensor
        if name.endswith("running_var"):
            counter = f"body.{name.removesuffix('running_var')}num_batches_tracked"
            converted.setdefault(counter, torch.zeros((), dtype=torch.long))
    return converted

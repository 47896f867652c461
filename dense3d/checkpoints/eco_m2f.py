"""Official ECO-M2F checkpoints (detectron2) -> :class:`ECOM2F`: those of Mask2Former, and the gate."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.mask2former import convert as convert_mask2former
from dense3d.checkpoints.mask_transformers import CITYSCAPES_CLASSES, CITYSCAPES_STUFF
from dense3d.errors import CheckpointError

_GATE = "sem_seg_head.pixel_decoder.transformer.encoder.gt."
_OURS = "gate."


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an official state dict; a parent without gate is one of Mask2Former.

    Raises:
        CheckpointError: it has no gate, or is no Mask2Former checkpoint.
    """
    rest = {name: value for name, value in official.items() if not name.startswith(_GATE)}
    if len(rest) == len(official):
        raise CheckpointError(
            f"this is no ECO-M2F checkpoint: it has no name like {_GATE}*; convert a Mask2Former checkpoint "
            "with the system mask2former"
        )
    gate = {name.replace(_GATE, _OURS): value for name, value in official.items() if name not in rest}
    return convert_mask2former(rest) | gate


def convert_cityscapes(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """:func:`convert` for Cityscapes panoptic, whose official class rows are train ids."""
    return convert_mask2former.reordered(convert(official), CITYSCAPES_STUFF, CITYSCAPES_CLASSES)

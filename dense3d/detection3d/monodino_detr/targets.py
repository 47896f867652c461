"""What a batch's images contain, as the losses need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Targets:
    """Objects of all images of a batch, one after the other; T of them.

    The fields mean what they mean in :class:`dense3d.datasets.kitti.mono_targets.MonoTargets`.
    """

    labels: Tensor  # (T,)
    boxes: Tensor  # (T, 4) 2D boxes as centre, width, height
    boxes_3d: Tensor  # (T, 6) projected centre and distances to the 2D box's sides
    depth: Tensor  # (T,) metres
    size_3d: Tensor  # (T, 3) height, width, length in metres
    heading_bin: Tensor  # (T,)
    heading_residual: Tensor  # (T,) radians
    counts: list[int]  # objects of each image

    @classmethod
    def of(cls, instances: Sequence[object]) -> Targets:
        """From one object an image with these attributes, such as ``data_sample.gt_instances``."""
        names = [field.name for field in fields(cls) if field.name != "counts"]
        parts = {name: torch.cat([getattr(image, name) for image in instances]) for name in names}
        return cls(**parts, counts=[len(image.labels) for image in instances])

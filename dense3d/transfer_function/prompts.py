"""What a person marks: clicks, strokes, lassos and boxes, for a class or against it, as voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

BACKGROUND = 0  # the class of what belongs to no structure; structures count from 1


@dataclass(frozen=True, eq=False)
class Prompt:
    """One mark.

    Args:
        class_id: the class that the voxels belong to (``positive``) or do not belong to (not ``positive``);
            :data:`BACKGROUND` marks what belongs to no structure.
        voxels: (N, 3) int32 voxel indices of the opened volume, all inside of it.
        kind: how it was made.
        positive: whether the voxels belong to the class.
    """

    class_id: int
    voxels: np.ndarray
    kind: Literal["point", "stroke", "lasso", "box"] = "point"
    positive: bool = True

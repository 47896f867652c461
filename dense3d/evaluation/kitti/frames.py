"""Labels and results of all frames, packed one after another, with the overlaps of every pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.kitti.objects import NO_ANGLE, SCORE, KittiObjects
from dense3d.evaluation.kitti import _kernels


@dataclass(frozen=True, eq=False)
class PackedFrames:
    """Objects of all frames.

    Args:
        first: (F + 1,) where each frame's objects begin.
        names: (N,) types in lower case.
        objects: the N objects, labels or results.
    """

    first: np.ndarray
    names: np.ndarray
    objects: KittiObjects

    @classmethod
    def of(cls, frames: Sequence[KittiObjects], columns: int) -> PackedFrames:
        """Pack frames whose objects have this many numbers."""
        first = np.cumsum([0, *map(len, frames)]).astype(np.int64)
        names = tuple(name for frame in frames for name in frame.names)
        filled = [frame.values for frame in frames if len(frame)]
        values = np.concatenate(filled) if filled else np.zeros((0, columns))
        return cls(first, np.array([name.lower() for name in names], dtype=str), KittiObjects(names, values))

    def __len__(self) -> int:
        return len(self.objects)

    @property
    def heights(self) -> np.ndarray:
        """(N,) heights of the 2D boxes in pixels."""
        _, top, _, bottom = self.objects.boxes2d.T
        return np.abs(bottom - top)

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) left, top, right, bottom."""
        return np.ascontiguousarray(self.objects.boxes2d)

    @property
    def footprints(self) -> np.ndarray:
        """(N, 5) x, z, length, width and the turn from x towards z, which is -rotation_y."""
        x, _, z = self.objects.location.T
        _, width, length = self.objects.dimensions.T
        return np.stack([x, z, length, width, -self.objects.rotation_y], axis=1)

    @property
    def extents(self) -> np.ndarray:
        """(N, 2) top and bottom of the 3D boxes; y points down and the location is at the bottom."""
        _, bottom, _ = self.objects.location.T
        height, _, _ = self.objects.dimensions.T
        return np.stack([bottom - height, bottom], axis=1)


class Comparison:
    """Labels and results of the same frames, and everything that does not depend on class and difficulty.

    Args:
        labels, results: one entry a frame, in the same order.

    Attributes:
        overlaps: (3, P) of 2D, BEV and 3D boxes for every label and detection of a frame.
        covered: (D,) largest part of a detection's 2D box inside a DontCare region of its frame.
        has_orientation: whether every detection has an observation angle.
    """

    def __init__(self, labels: Sequence[KittiObjects], results: Sequence[KittiObjects]) -> None:
        if len(labels) != len(results):
            raise ValueError(f"{len(labels)} frames have labels and {len(results)} have results")
        self.gt, self.dt = PackedFrames.of(labels, SCORE), PackedFrames.of(results, SCORE + 1)
        pairs = int((np.diff(self.gt.first) * np.diff(self.dt.first)).sum())
        overlaps = _kernels.pair_overlaps(
            *(self.gt.first, self.gt.boxes, self.gt.footprints, self.gt.extents),
            *(self.dt.first, self.dt.boxes, self.dt.footprints, self.dt.extents),
            pairs,
        )
        self.overlaps = np.ascontiguousarray(overlaps.T)  # (3, P)
        regions = self.gt.names == "dontcare"
        region_first = np.concatenate([[0], np.cumsum(regions)])[self.gt.first]
        self.covered = _kernels.covered_by(region_first, self.gt.boxes[regions], self.dt.first, self.dt.boxes)
        self.scores = np.ascontiguousarray(self.dt.objects.scores)
        self.has_orientation = not (self.dt.objects.alpha == NO_ANGLE).any()

    def label_flags(
        self, name: str, neighbour: str | None, height: float, occlusion: float, truncation: float
    ):
        """(G,) int8: 0 counted, 1 may absorb a detection without counting, -1 takes no part."""
        labels = self.gt.objects
        seen = (labels.occluded <= occlusion) & (labels.truncated <= truncation)
        easy_enough = seen & (self.gt.heights > height)
        flags = np.where(self.gt.names == (neighbour or name), 1, -1)
        return np.where(self.gt.names == name, np.where(easy_enough, 0, 1), flags).astype(np.int8)

    def detection_flags(self, name: str, height: float) -> np.ndarray:
        """(D,) int8 as for labels; a small detection is 1 whatever its class, as in the devkit."""
        other = np.where(self.dt.names == name, 0, -1)
        return np.where(self.dt.heights < height, 1, other).astype(np.int8)

"""Scores on the working grid from maps of fewer cells: slices at once, the volume when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.transfer_function.similarity import resized


class SimilarityScores:
    """Trilinear interpolation of one map a class.

    Args:
        class_ids: the classes, without the background.
        maps: (W', H', D') each, float 0 ... 255; of different classes they may have different shapes.
        shape: (X, Y, Z) of the working grid.
        kept: class id -> map and what :meth:`volume` made of it, for the next scores with the same map.
    """

    def __init__(
        self,
        class_ids: tuple[int, ...],
        maps: Sequence[Tensor],
        shape: Sequence[int],
        kept: dict[int, tuple[Tensor, np.ndarray]] | None = None,
    ) -> None:
        self.class_ids, self.maps, self.shape = class_ids, list(maps), tuple(shape)
        self._kept = {} if kept is None else kept

    def plane(self, axis: int, index: int) -> np.ndarray:
        """(C, A, B) uint8 scores of one slice: that slice of :meth:`volume`."""
        sides = [n for a, n in enumerate(self.shape) if a != axis]
        planes = [self._plane(values, axis, index, sides) for values in self.maps]
        return np.stack(planes) if planes else np.zeros((0, *sides), np.uint8)

    def _plane(self, values: Tensor, axis: int, index: int, sides: list[int]) -> np.ndarray:
        count = values.shape[axis]
        place = max(0.0, (index + 0.5) * count / self.shape[axis] - 0.5)
        below = min(int(place), count - 1)
        above = min(below + 1, count - 1)
        between = torch.lerp(values.select(axis, below), values.select(axis, above), place - below)
        plane = F.interpolate(between[None, None], sides, mode="bilinear", align_corners=False)
        return plane[0, 0].to(torch.uint8).cpu().numpy()

    def volume(self) -> np.ndarray:
        """(C, X, Y, Z) uint8 scores on the working grid."""
        scores = np.empty((len(self.maps), *self.shape), np.uint8)
        for row, class_id, values in zip(scores, self.class_ids, self.maps):
            before, kept = self._kept.get(class_id, (None, None))
            if before is not values:
                kept = resized(values, self.shape).to(torch.uint8).cpu().numpy()
                self._kept[class_id] = values, kept
            row[...] = kept
        return scores

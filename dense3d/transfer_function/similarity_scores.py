"""Scores on the working grid from maps of fewer cells: slices at once, the volume when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.transfer_function.similarity import resized


class ClassScores:
    """One class: trilinear interpolation of its map, refined to the volume's edges once that is asked for.

    Args:
        coarse: (W', H', D') map, float 0 ... 255.
        shape: (X, Y, Z) of the working grid.
        refine: gives the refined map, of any shape; None leaves the map as it is.
    """

    def __init__(
        self, coarse: Tensor, shape: Sequence[int], refine: Callable[[], Tensor] | None = None
    ) -> None:
        self.map, self.shape, self._refine = coarse, tuple(shape), refine
        self._volume: np.ndarray | None = None

    def plane(self, axis: int, index: int) -> np.ndarray:
        """(A, B) uint8; a slice of :meth:`volume` if that is there, else of the map before refinement."""
        if self._volume is not None:
            return np.take(self._volume, index, axis)
        count = self.map.shape[axis]
        place = max(0.0, (index + 0.5) * count / self.shape[axis] - 0.5)
        below = min(int(place), count - 1)
        above = min(below + 1, count - 1)
        between = torch.lerp(self.map.select(axis, below), self.map.select(axis, above), place - below)
        sides = [n for a, n in enumerate(self.shape) if a != axis]
        plane = F.interpolate(between[None, None], sides, mode="bilinear", align_corners=False)
        return plane[0, 0].to(torch.uint8).cpu().numpy()

    def volume(self) -> np.ndarray:
        """(X, Y, Z) uint8, computed at the first call."""
        if self._volume is None:
            final = self.map if self._refine is None else self._refine()
            self._volume = resized(final, self.shape).to(torch.uint8).cpu().numpy()
        return self._volume


class SimilarityScores:
    """Scores of several classes.

    Args:
        class_ids: the classes, without the background.
        classes: their scores.
        shape: (X, Y, Z) of the working grid.
    """

    def __init__(
        self, class_ids: tuple[int, ...], classes: Sequence[ClassScores], shape: Sequence[int]
    ) -> None:
        self.class_ids, self.classes, self.shape = class_ids, list(classes), tuple(shape)

    @property
    def maps(self) -> list[Tensor]:
        """(W', H', D') of each class before interpolation and refinement, float 0 ... 255."""
        return [one.map for one in self.classes]

    def plane(self, axis: int, index: int) -> np.ndarray:
        """(C, A, B) uint8 scores of one slice, at once: without refinement where that is not computed yet."""
        sides = [n for a, n in enumerate(self.shape) if a != axis]
        planes = [one.plane(axis, index) for one in self.classes]
        return np.stack(planes) if planes else np.zeros((0, *sides), np.uint8)

    def volume(self) -> np.ndarray:
        """(C, X, Y, Z) uint8 scores on the working grid."""
        volumes = [one.volume() for one in self.classes]
        return np.stack(volumes) if volumes else np.zeros((0, *self.shape), np.uint8)

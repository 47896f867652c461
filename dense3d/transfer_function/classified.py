"""Scores of a document: a classifier's, with an imported segmentation below and painted voxels above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.transfer_function.classifier import Scores
from dense3d.transfer_function.prompts import BACKGROUND, Prompt
from dense3d.transfer_function.resolving import resolve

SEEDS = 40  # voxels of a class that stand for an imported segmentation, at most
VOXELS_A_SEED = 100  # so that a mark changes what is around it and not itself alone


@dataclass(frozen=True)
class Base:
    """What an imported segmentation is to a classifier.

    The difference that a person's marks make to the classification from samples of the import is what they
    change of the import: where it changes no class, the import stays as it was, voxel by voxel.

    Args:
        labels: (X, Y, Z) uint8 class ids on the working grid.
        scores: the classification from :func:`seeds` of the labels alone.
    """

    labels: np.ndarray
    scores: Scores


@dataclass(frozen=True)
class Classified:
    """Scores on the working grid.

    Args:
        class_ids: in the order in which equal scores are resolved.
        thresholds: (C,) 0..1.
        shape: of the working grid.
        scores: what a classifier made of the marks; None without marks or classifier.
        painted: strokes, which hold exactly.
        base: an imported segmentation, or None.
    """

    class_ids: tuple[int, ...]
    thresholds: np.ndarray
    shape: tuple[int, int, int]
    scores: Scores | None
    painted: Sequence[Prompt] = ()
    base: Base | None = None

    def plane(self, axis: int, index: int) -> np.ndarray:
        """(C, A, B) uint8 scores of one slice, its other two axes in ascending order."""
        place = (slice(None),) * axis + (index,)
        others = [other for other in range(3) if other != axis]

        def paint(voxels: np.ndarray) -> tuple[np.ndarray, ...]:
            return tuple(voxels[voxels[:, axis] == index][:, others].T)

        shape = tuple(self.shape[other] for other in others)
        return self._joined(lambda scores: scores.plane(axis, index), place, shape, paint)

    def volume(self) -> np.ndarray:
        """(C, X, Y, Z) uint8 scores."""
        return self._joined(lambda scores: scores.volume(), (), self.shape, lambda voxels: tuple(voxels.T))

    def unchanged(self) -> np.ndarray:
        """(X, Y, Z) bool: where the imported segmentation holds as it was."""
        same = resolve(self.base.scores.volume(), self.thresholds) == resolve(
            self.scores.volume(), self.thresholds
        )
        for prompt in self.painted:
            same[tuple(prompt.voxels.T)] = False
        return same

    def _joined(
        self,
        part: Callable[[Scores], np.ndarray],
        place: tuple,
        shape: tuple[int, ...],
        paint: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    ) -> np.ndarray:
        if self.scores is None:
            scores = np.zeros((len(self.class_ids), *shape), np.uint8)
        else:
            scores = part(self.scores)
        if self.base is not None:
            scores = self._refined(scores, part(self.base.scores), self.base.labels[place])
        if self.painted and self.class_ids:
            scores = np.array(scores)  # a classifier may keep what it gave
        for prompt in self.painted:
            where = paint(prompt.voxels)
            if prompt.positive:
                scores[(slice(None), *where)] = 0
            if prompt.class_id != BACKGROUND:
                scores[(self.class_ids.index(prompt.class_id), *where)] = 255 * prompt.positive
        return scores

    def _refined(self, after: np.ndarray, before: np.ndarray, labels: np.ndarray) -> np.ndarray:
        same = resolve(before, self.thresholds) == resolve(after, self.thresholds)
        scores = np.array(after)
        for column, class_id in enumerate(self.class_ids):
            np.copyto(scores[column], np.where(labels == class_id, np.uint8(255), np.uint8(0)), where=same)
        return scores


def seeds(labels: np.ndarray, class_ids: Sequence[int]) -> list[Prompt]:
    """Samples of a segmentation, from within its structures where there is a within.

    Args:
        labels: (X, Y, Z) class ids.
        class_ids: the classes; of the background three times as many voxels are taken.

    Returns:
        One prompt a voxel, always the same for the same labels.
    """
    inner = np.ones(labels.shape, bool)
    for axis in range(3):
        rows = np.moveaxis(labels, axis, 0), np.moveaxis(inner, axis, 0)
        differ = rows[0][1:] != rows[0][:-1]
        rows[1][1:] &= ~differ
        rows[1][:-1] &= ~differ
    random = np.random.default_rng(0)
    found = []
    for class_id in (BACKGROUND, *class_ids):
        holds = labels == class_id
        voxels = np.flatnonzero(holds & inner)
        if not len(voxels):
            voxels = np.flatnonzero(holds)
        most = SEEDS * (3 if class_id == BACKGROUND else 1)
        number = min(most, -(-len(voxels) // VOXELS_A_SEED))
        chosen = np.sort(random.choice(voxels, number, replace=False)) if number else voxels
        places = np.stack(np.unravel_index(chosen, labels.shape), 1).astype(np.int32)
        found += [Prompt(class_id, place[None]) for place in places]
    return found

"""Voxels whose class is not that of their supervoxel: marked ones, and regions that marks disagree about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.transfer_function.graph.supervoxels import CONTRAST, Supervoxels
from dense3d.transfer_function.prompts import Prompt


def marked_voxels(
    prompts: Sequence[Prompt],
    class_ids: Sequence[int],
    table: np.ndarray,
    regions: Supervoxels,
    intensity: np.ndarray,
    spacing: tuple[float, float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and their scores, which replace those of the table; what comes later holds.

    A marked voxel has the class that it was marked with, and where marks of one region disagree each of its
    voxels follows the nearest of them, in position and intensity as the region itself was made.

    Args:
        prompts: of these classes and the background.
        class_ids: C classes.
        table: (C, R) uint8 scores of regions.
        regions: the partition.
        intensity: (X, Y, Z) float32 that it was made from.
        spacing: millimetres between voxels.

    Returns:
        (N, 3) int32 voxels and (C, N) uint8 scores.
    """
    if not prompts:
        return np.empty((0, 3), np.int32), np.empty((len(class_ids), 0), np.uint8)
    counts = [len(prompt.voxels) for prompt in prompts]
    voxels = np.concatenate([prompt.voxels for prompt in prompts]).astype(np.int32)
    owner = np.repeat([prompt.class_id for prompt in prompts], counts)
    positive = np.repeat([prompt.positive for prompt in prompts], counts)
    region = regions.ids[tuple(voxels.T)]

    def scores(marks: np.ndarray, of: np.ndarray) -> np.ndarray:
        own = np.array(class_ids)[:, None] == owner[marks]
        held = np.where(own, np.uint8(255), np.uint8(0))
        return np.where(positive[marks], held, np.where(own, np.uint8(0), table[:, of]))

    parts = []
    for disputed in _disputed(region, owner, positive):
        marks = np.flatnonzero(region == disputed)
        members = regions.voxels(disputed)
        distance = np.zeros((len(members), len(marks)))
        for axis in range(3):
            distance += ((members[:, None, axis] - voxels[None, marks, axis]) * spacing[axis]) ** 2
        step = intensity[tuple(members.T)][:, None] - intensity[tuple(voxels[marks].T)]
        distance += (CONTRAST * regions.width * step) ** 2
        nearest = marks[::-1][distance[:, ::-1].argmin(axis=1)]  # of equals the last mark
        parts.append((members, scores(nearest, np.full(len(members), disputed))))
    parts.append((voxels, scores(np.arange(len(voxels)), region)))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts], axis=1)


def _disputed(region: np.ndarray, owner: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Regions with marks of different meaning."""
    meaning = np.unique(np.stack([region, owner, positive], axis=1).astype(np.int64), axis=0)
    found, times = np.unique(meaning[:, 0], return_counts=True)
    return found[times > 1]

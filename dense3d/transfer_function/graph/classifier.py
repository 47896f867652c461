"""The method that works for every volume without a checkpoint: a random walker on supervoxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.structures.volume import Volume
from dense3d.transfer_function.classifier import Progress
from dense3d.transfer_function.graph.adjacency import adjacency
from dense3d.transfer_function.graph.intensity import normalised
from dense3d.transfer_function.graph.scores import GraphScores, rivalry
from dense3d.transfer_function.graph.supervoxels import number_of_supervoxels, supervoxels
from dense3d.transfer_function.graph.walker import Walker
from dense3d.transfer_function.prompts import BACKGROUND, Prompt

CONTRAST = 100.0  # an intensity step of the whole scale divides a weight by exp(100)
FLOOR = 1e-6  # smallest weight beside that of regions without any step
PULL = 1e-7  # to the background, beside the same


class GraphClassifier:
    """A random walker on the graph of a volume's supervoxels.

    Args:
        volume: the working grid.
    """

    name = "graph"

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.ready = False

    def prepare(self, progress: Progress) -> None:
        """Partition the volume and weigh the graph's edges: seconds for 256^3 voxels."""
        progress(0.0, "supervoxels", None)
        intensity = normalised(np.asarray(self.volume.values))
        spacing = self.volume.spacing
        self.regions = supervoxels(intensity, spacing, number_of_supervoxels(intensity.shape))
        progress(0.7, "graph", None)
        touching = adjacency(intensity, self.regions, spacing)
        means = np.bincount(self.regions.ids.ravel(), intensity.ravel(), self.regions.count)
        means /= self.regions.sizes
        first, second = touching.pairs.T
        jump = np.abs(means[first] - means[second]) + 0.5 * touching.step
        area = touching.area / touching.area.mean() if len(touching.area) else touching.area
        weights = area * (np.exp(-CONTRAST * jump) + FLOOR)
        self.walker = Walker(touching.pairs, weights, self.regions.count, np.full(self.regions.count, PULL))
        self.ready = True
        progress(1.0, "ready", 0.0)

    def classify(self, prompts: Sequence[Prompt], class_ids: Sequence[int]) -> GraphScores:
        """Scores after these prompts; see :class:`dense3d.transfer_function.classifier.Classifier`."""
        columns = {BACKGROUND: 0, **{c: column for column, c in enumerate(class_ids, start=1)}}
        prompts = [prompt for prompt in prompts if prompt.class_id in columns and len(prompt.voxels)]
        count = self.regions.count
        votes = np.zeros((count, len(columns), 2))  # against and for
        for prompt in prompts:
            column, regions = columns[prompt.class_id], self._regions(prompt)
            np.add.at(votes[:, column, int(prompt.positive)], regions, 1.0)
            if prompt.positive:
                others = [other for other in range(len(columns)) if other != column]
                np.add.at(votes[:, :, 0], (regions[:, None], others), 1.0)
        total = votes.sum(axis=2)
        values = votes[:, :, 1] / np.maximum(total, 1)
        prior = np.zeros_like(values)
        prior[:, 0] = 1.0
        probabilities = self.walker.solve(total > 0, values, prior).clip(0, 1).T
        marked = {c for p in prompts if p.positive for c in [columns[p.class_id]]}
        scores = rivalry(probabilities.astype(np.float64))
        scores[[column - 1 for column in range(1, len(columns)) if column not in marked]] = 0.0
        table = np.rint(255 * scores).astype(np.uint8)
        return GraphScores(tuple(class_ids), table, self.regions.ids, *self._marks(prompts, class_ids))

    def _regions(self, prompt: Prompt) -> np.ndarray:
        """The regions that a prompt lies in."""
        return np.unique(self.regions.ids[tuple(prompt.voxels.T)])

    def _marks(self, prompts: Sequence[Prompt], class_ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Marked voxels and their scores; what was marked last holds."""
        prompts = [prompt for prompt in prompts if prompt.positive]
        if not prompts:
            return np.empty((0, 3), np.int32), np.empty((len(class_ids), 0), np.uint8)
        owner = np.repeat([prompt.class_id for prompt in prompts], [len(p.voxels) for p in prompts])
        scores = np.where(np.array(class_ids)[:, None] == owner, np.uint8(255), np.uint8(0))
        return np.concatenate([prompt.voxels for prompt in prompts]), scores

"""The method that works for every volume without a checkpoint: a random walker on supervoxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.structures.volume import Volume
from dense3d.transfer_function.classifier import Progress
from dense3d.transfer_function.graph.adjacency import Adjacency, adjacency
from dense3d.transfer_function.graph.cache import LearntFile
from dense3d.transfer_function.graph.edges import LEARNING_CONTRAST, edge_weights
from dense3d.transfer_function.graph.handmade import handmade_features
from dense3d.transfer_function.graph.intensity import normalised
from dense3d.transfer_function.graph.likeness import Likeness
from dense3d.transfer_function.graph.scores import GraphScores, rivalry
from dense3d.transfer_function.graph.splitting import marked_voxels
from dense3d.transfer_function.graph.supervoxels import number_of_supervoxels, supervoxels
from dense3d.transfer_function.graph.voxels import VoxelRefinement
from dense3d.transfer_function.graph.walker import Walker
from dense3d.transfer_function.prompts import BACKGROUND, Prompt

FEATURES = ("handmade", "learnt")
HANDMADE_WIDTH, LEARNT_WIDTH = 0.4, 0.5  # of the kernels, where one kind is used alone
JOINED_WIDTHS = 1.0, 0.5  # of both together
PULL = 1e-3  # to the likeness, for each mark that a structure has on average: the more, the surer it is
STRONGEST_PULL = 1e-2
QUICK_STEPS = 8  # of a preview
FIRST_SHARE = 0.1  # of the preparation, until clicks work


@dataclass(frozen=True)
class _Prepared:
    """What a classification needs; exchanged as a whole when features have been learnt."""

    walker: Walker
    likeness: Likeness


class GraphClassifier:
    """A random walker on the graph of a volume's supervoxels, pulled to the likeness of features.

    Args:
        volume: the working grid.
        features: what tells regions apart beside intensity and position: ``"handmade"``, ``"learnt"``, both
            or neither.
        seed: of what is learnt.
        cache: folder of what was learnt before; the user's cache folder unless given.
        refined: whether scores are refined to voxels where classes meet, or are those of supervoxels.
    """

    name = "graph"

    def __init__(
        self,
        volume: Volume,
        features: Sequence[str] = FEATURES,
        seed: int = 0,
        cache: str | None = None,
        refined: bool = True,
    ) -> None:
        self.volume = volume
        self.features = tuple(features)
        self.seed = seed
        self.refined = refined
        self._cache = cache
        self._prepared: _Prepared | None = None
        self._last: dict[int, np.ndarray] | None = None  # probabilities of regions, by class

    @property
    def ready(self) -> bool:
        """Whether clicks can be classified; what is learnt afterwards makes the classification better."""
        return self._prepared is not None

    def prepare(self, progress: Progress) -> None:
        """Partition the volume and weigh the graph's edges, in seconds; then learn features, in a minute.

        Args:
            progress: called with the share done, what is done, and seconds left or None; what it raises ends
                the work, and what was prepared until then stays.
        """
        progress(0.0, "supervoxels", None)
        self.intensity = normalised(np.asarray(self.volume.values))
        spacing = self.volume.spacing
        self._refinement = VoxelRefinement(self.intensity, spacing) if self.refined else None
        self.regions = supervoxels(self.intensity, spacing, number_of_supervoxels(self.intensity.shape))
        progress(0.5 * FIRST_SHARE, "graph", None)
        touching = adjacency(self.intensity, self.regions, spacing)
        means = np.bincount(self.regions.ids.ravel(), self.intensity.ravel(), self.regions.count)
        means /= self.regions.sizes
        handmade = None
        if "handmade" in self.features:
            progress(0.7 * FIRST_SHARE, "features", None)
            handmade = handmade_features(self.intensity, self.regions, spacing)
        VoxelRefinement.compile()
        prepared = self._assembled(touching, means, handmade, None)
        self._compile(prepared)
        self._prepared = prepared
        progress(FIRST_SHARE, "ready for clicks", None)
        if "learnt" in self.features and len(touching.pairs):
            learnt = self._learnt(touching, means, progress)
            self._prepared = self._assembled(touching, means, handmade, learnt)
        progress(1.0, "ready", 0.0)

    def _learnt(self, touching: Adjacency, means: np.ndarray, progress: Progress) -> np.ndarray:
        file = LearntFile(self.volume, self.seed, self._cache)
        features = file.read(self.regions.count)
        if features is None:
            from dense3d.transfer_function.graph.learning import GraphWalks, learn_features, read_patches

            patches = read_patches(self.intensity, self.regions, self.volume.spacing)
            weights = edge_weights(touching, means, contrast=LEARNING_CONTRAST)
            walks = GraphWalks(touching.pairs, weights, self.regions.count)

            def report(done: float, task: str, left: float | None) -> None:
                progress(FIRST_SHARE + (0.99 - FIRST_SHARE) * done, task, left)

            features = learn_features(patches, walks, report, self.seed)
            file.write(features)
        return features

    def _assembled(
        self, touching: Adjacency, means: np.ndarray, handmade: np.ndarray | None, learnt: np.ndarray | None
    ) -> _Prepared:
        joined = handmade is not None and learnt is not None
        widths = JOINED_WIDTHS if joined else (HANDMADE_WIDTH, LEARNT_WIDTH)
        points = [np.empty((self.regions.count, 0), np.float32)]
        if handmade is not None:
            points.append(handmade / (widths[0] * np.sqrt(handmade.shape[1])))
        if learnt is not None:
            points.append(learnt / widths[1])
        spacing = np.array(self.volume.spacing)
        extent = spacing * self.volume.shape
        likeness = Likeness(np.concatenate(points, axis=1), self.regions.centres * spacing, extent)
        weights = edge_weights(touching, means, learnt)
        return _Prepared(Walker(touching.pairs, weights, self.regions.count), likeness)

    def classify(self, prompts: Sequence[Prompt], class_ids: Sequence[int]) -> GraphScores:
        """Scores after these prompts; see :class:`dense3d.transfer_function.classifier.Classifier`.

        A mark holds its region at its class. A class that has no positive mark has no score anywhere.
        """
        return self._classified(prompts, class_ids, quick=False)

    def preview(self, prompts: Sequence[Prompt], class_ids: Sequence[int]) -> GraphScores | None:
        """Roughly what :meth:`classify` will give, much sooner: a few steps on from the last classification.

        Before the first one they start from the likeness to marks.
        """
        return self._classified(prompts, class_ids, quick=True)

    def _classified(self, prompts: Sequence[Prompt], class_ids: Sequence[int], quick: bool) -> GraphScores:
        prepared, regions = self._prepared, self.regions
        order = [BACKGROUND, *class_ids]
        prompts = [prompt for prompt in prompts if prompt.class_id in order and len(prompt.voxels)]
        own = {c: [p for p in prompts if p.class_id == c and p.positive] for c in order}
        active = [c for c in order if c == BACKGROUND or own[c]]
        table = np.zeros((len(class_ids), regions.count), np.uint8)
        if len(active) > 1:
            marked = [self._regions(own[c]) for c in active]
            refused = [
                self._regions([p for p in prompts if p.class_id == c and not p.positive]) for c in active
            ]
            held, values = self._seeds(marked, refused)
            pull = PULL * max(1.0, float(np.mean([len(found) for found in marked[1:]])))
            prior = prepared.likeness.prior(marked)
            pull = min(pull, STRONGEST_PULL)
            if quick:
                start = self._start(active, prior)
                found = prepared.walker.solve(held, values, prior, pull, start=start, most_steps=QUICK_STEPS)
            else:
                found = prepared.walker.solve(held, values, prior, pull)
                self._last = dict(zip(active, found.T))
            scores = rivalry(np.ascontiguousarray(found.T).clip(0, 1))
            rows = [list(class_ids).index(c) for c in active[1:]]
            table[rows] = np.rint(255 * scores)
        marks = marked_voxels(prompts, class_ids, table, regions, self.intensity, self.volume.spacing)
        held = sum(len(prompt.voxels) for prompt in prompts)
        return GraphScores(tuple(class_ids), table, regions.ids, *marks, held, self._refinement)

    def _start(self, active: Sequence[int], prior: np.ndarray) -> np.ndarray:
        """(R, C) the last probabilities of each class; of a new one, its prior."""
        last = self._last or {}
        return np.stack([last.get(c, prior[:, column]) for column, c in enumerate(active)], axis=1)

    def _compile(self, prepared: _Prepared) -> None:
        """Load or compile what classifies, so that the first click does not wait for it."""
        nothing = np.zeros((self.regions.count, 2))
        prepared.walker.solve(nothing > 0, nothing, nothing, PULL, most_steps=1)
        table, marks = np.zeros((1, self.regions.count), np.uint8), np.zeros((1, 0), np.uint8)
        GraphScores((1,), table, self.regions.ids, np.zeros((0, 3), np.int32), marks).volume()

    def _regions(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """The regions that marks lie in, ascending."""
        return np.unique(
            np.concatenate([self.regions.ids[tuple(p.voxels.T)] for p in prompts] or [[]])
        ).astype(int)

    def _seeds(self, marked: list[np.ndarray], refused: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(R, C) which values are held, and at what: where classes share a region, at equal shares."""
        values = np.zeros((self.regions.count, len(marked)), np.float32)
        held = np.zeros(values.shape, bool)
        for column, found in enumerate(marked):
            values[found, column] = 1
            held[found] = True
        rows = np.unique(np.concatenate(marked))
        values[rows] /= values[rows].sum(axis=1, keepdims=True)
        for column, found in enumerate(refused):
            values[found, column] *= 0.5  # 0 but where the region is disputed
            held[found, column] = True
        return held, values

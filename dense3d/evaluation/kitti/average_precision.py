"""The evaluation of all classes, difficulties and metrics: matches, precision at 41 recall positions, and AP.

Andreas Geiger et al., "Are we ready for autonomous driving? The KITTI vision benchmark suite", CVPR 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.kitti.objects import KittiObjects
from dense3d.evaluation.kitti import _kernels
from dense3d.evaluation.kitti.frames import Comparison
from dense3d.evaluation.kitti.protocol import (
    DIFFICULTIES,
    LIMIT_SETS,
    METRICS,
    NEIGHBOURS,
    OVERLAPS,
    RECALL_POINTS,
    Protocol,
)
from dense3d.evaluation.kitti.result import KittiResult


@dataclass(frozen=True, eq=False)
class Flags:
    """How the objects take part for one class and difficulty: 0 counted, 1 ignored, -1 not at all."""

    labels: np.ndarray  # (G,) int8
    detections: np.ndarray  # (D,) int8

    @property
    def ground_truths(self) -> int:
        """Labels that are to be found."""
        return int((self.labels == 0).sum())


@dataclass(frozen=True, eq=False)
class Matching:
    """Matches of one class, difficulty and overlap.

    Attributes:
        scores: (S,) scores of the true positives found without a threshold, falling.
        thresholds: (T,) score thresholds, falling.
        counts: (T, 4) true positives, false positives, false negatives and summed orientation similarity.
    """

    scores: np.ndarray
    thresholds: np.ndarray
    counts: np.ndarray


def evaluate(
    labels: Sequence[KittiObjects], results: Sequence[KittiObjects], protocol: Protocol | None = None
) -> KittiResult:
    """AP11 and AP40 of 2D, BEV and 3D boxes and of orientation, as KITTI's C++ devkit computes them.

    Args:
        labels: objects of each frame, DontCare regions among them.
        results: detections of each of the same frames, in the same order.
        protocol: classes, difficulties and limits; KITTI's own for its three classes by default.

    Raises:
        ValueError: the numbers of frames differ.

    Example:
        >>> from dense3d.datasets.kitti import parse_objects
        >>> line = "Car 0.00 0 0.1 100 100 200 180 1.5 1.6 4 0 1.6 20 0.3"
        >>> label, result = parse_objects(line), parse_objects(line + " 0.9", is_result=True)
        >>> evaluate([label] * 80, [result] * 80).ap40[0, :, 0, 1].tolist()
        [100.0, 100.0, 100.0, 100.0]
    """
    protocol = protocol or Protocol.of()
    comparison = Comparison(labels, results)
    classes, levels = len(protocol.classes), len(DIFFICULTIES)
    curves = np.zeros((len(LIMIT_SETS), len(METRICS), classes, levels, RECALL_POINTS))
    ground_truths = np.zeros((classes, levels), dtype=np.int64)
    for c in range(classes):
        for d in range(levels):
            flags = class_flags(comparison, protocol, c, d)
            ground_truths[c, d] = flags.ground_truths
            for o in range(len(OVERLAPS)):
                _fill(curves[:, :, c, d], comparison, flags, o, [limits[o][c] for limits in protocol.limits])
    if not comparison.has_orientation:
        curves[:, METRICS.index("aos")] = np.nan
    return KittiResult(protocol, curves, ground_truths, len(labels), len(comparison.dt))


def class_flags(comparison: Comparison, protocol: Protocol, index: int, difficulty: int) -> Flags:
    """Flags of all labels and detections for one of the protocol's classes and a difficulty."""
    name, height = protocol.classes[index].lower(), protocol.min_height[difficulty]
    hardest = protocol.max_occlusion[difficulty], protocol.max_truncation[difficulty]
    labels = comparison.label_flags(name, NEIGHBOURS.get(name), height, *hardest)
    return Flags(labels, comparison.detection_flags(name, height))


def match(comparison: Comparison, flags: Flags, overlap: int, limit: float) -> Matching:
    """Match one class's detections by an overlap (index in ``OVERLAPS``) above ``limit``."""
    gt, dt, scores = comparison.gt, comparison.dt, comparison.scores
    pairs = _kernels.candidates(
        gt.first, flags.labels, dt.first, flags.detections, comparison.overlaps[overlap], limit
    )
    visible, start, detection, _ = pairs
    found = _kernels.true_positive_scores(*pairs[:3], flags.labels, flags.detections, scores)
    thresholds = score_thresholds(found, flags.ground_truths) if len(found) else np.zeros(0)
    # regions without labels only have 2D boxes: they excuse no detection in BEV and 3D
    excused = comparison.covered > limit if overlap == 0 else np.zeros(len(dt), dtype=bool)
    owner = visible.repeat(np.diff(start))
    turns = gt.objects.alpha[owner] - dt.objects.alpha[detection]
    rows = _kernels.counts_at(thresholds, *pairs, flags.labels, flags.detections, scores, excused, turns)
    blamed = np.sort(scores[(flags.detections == 0) & ~excused])
    above = len(blamed) - np.searchsorted(blamed, thresholds, side="left")
    counts = np.stack([rows[:, 0], above - rows[:, 2], rows[:, 1], rows[:, 3]], axis=1)
    return Matching(np.sort(found)[::-1], thresholds, counts)


def _fill(
    curves: np.ndarray, comparison: Comparison, flags: Flags, overlap: int, limits: list[float]
) -> None:
    """Curves of one class and difficulty, (strict or loose, metric, 41), for one overlap."""
    metric = METRICS.index(OVERLAPS[overlap])
    for s, limit in enumerate(limits):
        if limit in limits[:s]:
            curves[s] = np.where(_of_overlap(overlap)[:, None], curves[limits.index(limit)], curves[s])
            continue
        counts = match(comparison, flags, overlap, limit).counts
        positives = counts[:, 0] + counts[:, 1]
        precision, similarity = counts[:, [0, 3]].T / np.maximum(positives, 1)
        curves[s, metric] = curve(precision)
        if overlap == 0:
            curves[s, METRICS.index("aos")] = curve(similarity)


def _of_overlap(overlap: int) -> np.ndarray:
    """Which of ``METRICS`` come from this overlap."""
    return np.array([name == OVERLAPS[overlap] or (name == "aos" and overlap == 0) for name in METRICS])


def score_thresholds(scores: np.ndarray, ground_truths: int) -> np.ndarray:
    """Scores at which recall comes nearest to 0, 1/40, 2/40 ...

    Args:
        scores: of the true positives found without a threshold, in any order.
        ground_truths: how many there are to find.

    Returns:
        at most 41 scores, falling. With fewer than 40 ground truths every score is kept, and the curve is
        squeezed to the left: the k-th true positive stands at position k although its recall is k / n.

    Example:
        >>> score_thresholds(np.array([0.2, 0.9, 0.5]), 4).tolist()
        [0.9, 0.5, 0.2]
    """
    scores = np.sort(scores)[::-1]
    kept: list[float] = []
    current = 0.0
    for i, score in enumerate(scores.tolist()):
        left, last = (i + 1) / ground_truths, i + 1 == len(scores)
        right = left if last else (i + 2) / ground_truths
        if not last and right - current < current - left:
            continue
        kept.append(score)
        current += 1 / (RECALL_POINTS - 1)
    return np.array(kept)


def curve(values: np.ndarray) -> np.ndarray:
    """Values at the thresholds as the curve over 41 recall positions: each is the best at its recall or more.

    Args:
        values: (T,) precision or similarity by falling threshold, T <= 41; what is missing counts 0.

    Example:
        >>> curve(np.array([0.5, 1.0, 0.25]))[:4].tolist()
        [1.0, 1.0, 0.25, 0.0]
    """
    full = np.zeros(RECALL_POINTS)
    full[: len(values)] = values
    return np.maximum.accumulate(full[::-1])[::-1]

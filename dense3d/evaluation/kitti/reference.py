"""The evaluation frame by frame in plain Python, rule by rule: slow, and the measure of the fast one.

No code is shared with :mod:`dense3d.evaluation.kitti.average_precision`: overlaps of rotated boxes are
shapely's, and objects are matched one frame, class, difficulty, overlap and threshold after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from shapely.geometry import Polygon

from dense3d.datasets.kitti.objects import (
    ALPHA,
    BOTTOM,
    DIMENSIONS,
    HEIGHT,
    LEFT,
    LENGTH,
    NO_ANGLE,
    OCCLUDED,
    RIGHT,
    ROTATION,
    SCORE,
    TOP,
    TRUNCATED,
    WIDTH,
    KittiObjects,
    X,
    Y,
    Z,
)
from dense3d.evaluation.kitti.protocol import DIFFICULTIES, METRICS, OVERLAPS, Protocol

NEIGHBOUR_CLASSES = {"car": "van", "pedestrian": "person_sitting", "cyclist": None}


@dataclass
class ComparedFrame:
    """One frame: objects as lists of rows, and overlaps of every pair."""

    label_names: list[str]
    labels: list[list[float]]
    result_names: list[str]
    results: list[list[float]]
    overlaps: dict[str, list[list[float]]]
    covered: list[float]


def evaluate_reference(
    labels: Sequence[KittiObjects], results: Sequence[KittiObjects], protocol: Protocol | None = None
) -> np.ndarray:
    """Curves as :attr:`dense3d.evaluation.kitti.KittiResult.curves` has them.

    Args:
        labels, results: objects and detections of each frame.
        protocol: as for ``evaluate``.
    """
    protocol = protocol or Protocol.of()
    frames = [_frame(label, result) for label, result in zip(labels, results)]
    shape = (len(protocol.limits), len(METRICS), len(protocol.classes), len(DIFFICULTIES), 41)
    curves = np.zeros(shape)
    for c, name in enumerate(protocol.classes):
        for d in range(len(DIFFICULTIES)):
            for s, limits in enumerate(protocol.limits):
                for o, overlap in enumerate(OVERLAPS):
                    precision, similarity = _curves(frames, name.lower(), protocol, d, overlap, limits[o][c])
                    curves[s, METRICS.index(overlap), c, d] = precision
                    if overlap == "bbox":
                        curves[s, METRICS.index("aos"), c, d] = similarity
    if any(row[ALPHA] == NO_ANGLE for frame in frames for row in frame.results):
        curves[:, METRICS.index("aos")] = np.nan
    return curves


def _frame(label: KittiObjects, result: KittiObjects) -> ComparedFrame:
    gt, dt = label.values.tolist(), result.values.tolist()
    footprints = {"gt": [_footprint(row) for row in gt], "dt": [_footprint(row) for row in dt]}
    common = [[_common(a, b) for b in footprints["dt"]] for a in footprints["gt"]]
    overlaps = {
        "bbox": [[_iou_2d(a, b) for b in dt] for a in gt],
        "bev": [[_iou_bev(a, b, common[i][j]) for j, b in enumerate(dt)] for i, a in enumerate(gt)],
        "3d": [[_iou_3d(a, b, common[i][j]) for j, b in enumerate(dt)] for i, a in enumerate(gt)],
    }
    regions = [row for name, row in zip(label.names, gt) if name.lower() == "dontcare"]
    covered = [max((_common_2d(row, region) / _area(row) for region in regions), default=0.0) for row in dt]
    names = ([name.lower() for name in objects.names] for objects in (label, result))
    return ComparedFrame(next(names), gt, next(names), dt, overlaps, covered)


def _area(row: list[float]) -> float:
    return (row[RIGHT] - row[LEFT]) * (row[BOTTOM] - row[TOP])


def _common_2d(a: list[float], b: list[float]) -> float:
    width = min(a[RIGHT], b[RIGHT]) - max(a[LEFT], b[LEFT])
    height = min(a[BOTTOM], b[BOTTOM]) - max(a[TOP], b[TOP])
    return width * height if width > 0 and height > 0 else 0.0


def _iou_2d(a: list[float], b: list[float]) -> float:
    common = _common_2d(a, b)
    return common / (_area(a) + _area(b) - common) if common else 0.0


def _footprint(row: list[float]) -> Polygon | None:
    """Corners of the 3D box in (x, z); None for a box that is not given."""
    _, width, length = row[DIMENSIONS]
    if width <= 0 or length <= 0:
        return None
    cosine, sine = np.cos(row[ROTATION]), np.sin(row[ROTATION])
    corners = [(a * length / 2, b * width / 2) for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    return Polygon([(row[X] + u * cosine + v * sine, row[Z] - u * sine + v * cosine) for u, v in corners])


def _common(a: Polygon | None, b: Polygon | None) -> float:
    return a.intersection(b).area if a is not None and b is not None else 0.0


def _iou_bev(a: list[float], b: list[float], common: float) -> float:
    return common / (a[WIDTH] * a[LENGTH] + b[WIDTH] * b[LENGTH] - common) if common > 0 else 0.0


def _iou_3d(a: list[float], b: list[float], common: float) -> float:
    height = min(a[Y], b[Y]) - max(a[Y] - a[HEIGHT], b[Y] - b[HEIGHT])
    if common <= 0 or height <= 0:
        return 0.0
    common *= height
    volume_a, volume_b = (row[HEIGHT] * row[WIDTH] * row[LENGTH] for row in (a, b))
    return common / (volume_a + volume_b - common)


def _curves(
    frames: list[ComparedFrame], name: str, protocol: Protocol, difficulty: int, overlap: str, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    flags = [_flags(frame, name, protocol, difficulty) for frame in frames]
    scores: list[float] = []
    for frame, (gt_flags, dt_flags) in zip(frames, flags):
        scores += _true_positives(frame, gt_flags, dt_flags, overlap, limit)
    thresholds = _thresholds(sorted(scores, reverse=True), sum(f[0].count(0) for f in flags))
    precision, similarity = np.zeros(41), np.zeros(41)
    for t, threshold in enumerate(thresholds):
        rows = [_counts(frame, *f, overlap, limit, threshold) for frame, f in zip(frames, flags)]
        tp, fp, similar = (sum(row[k] for row in rows) for k in range(3))
        precision[t], similarity[t] = (tp / (tp + fp), similar / (tp + fp)) if tp + fp else (0, 0)
    for values in (precision, similarity):
        for t in range(41):
            values[t] = max(values[t:])
    return precision, similarity


def _flags(frame: ComparedFrame, name: str, protocol: Protocol, d: int) -> tuple[list[int], list[int]]:
    gt_flags, dt_flags = [], []
    for other, row in zip(frame.label_names, frame.labels):
        if other == name:
            hard = row[OCCLUDED] > protocol.max_occlusion[d] or row[TRUNCATED] > protocol.max_truncation[d]
            gt_flags.append(1 if hard or row[BOTTOM] - row[TOP] <= protocol.min_height[d] else 0)
        else:
            gt_flags.append(1 if other == NEIGHBOUR_CLASSES[name] else -1)
    for other, row in zip(frame.result_names, frame.results):
        small = abs(row[TOP] - row[BOTTOM]) < protocol.min_height[d]
        dt_flags.append(1 if small else 0 if other == name else -1)
    return gt_flags, dt_flags


def _true_positives(
    frame: ComparedFrame, gt_flags: list[int], dt_flags: list[int], overlap: str, limit: float
) -> list[float]:
    assigned, scores = [False] * len(dt_flags), []
    for i, gt_flag in enumerate(gt_flags):
        if gt_flag == -1:
            continue
        best = None
        for j, dt_flag in enumerate(dt_flags):
            if dt_flag == -1 or assigned[j] or frame.overlaps[overlap][i][j] <= limit:
                continue
            if best is None or frame.results[j][SCORE] > frame.results[best][SCORE]:
                best = j
        if best is not None:
            assigned[best] = True
            if gt_flag == 0 and dt_flags[best] == 0:
                scores.append(frame.results[best][SCORE])
    return scores


def _thresholds(scores: list[float], ground_truths: int) -> list[float]:
    kept, current = [], 0.0
    for i, score in enumerate(scores):
        left = (i + 1) / ground_truths
        right = (i + 2) / ground_truths if i < len(scores) - 1 else left
        if right - current < current - left and i < len(scores) - 1:
            continue
        kept.append(score)
        current += 1 / 40
    return kept


def _counts(
    frame: ComparedFrame,
    gt_flags: list[int],
    dt_flags: list[int],
    overlap: str,
    limit: float,
    threshold: float,
) -> tuple[int, int, float]:
    """True positives, false positives and summed orientation similarity of one frame."""
    usable = [flag != -1 and row[SCORE] >= threshold for flag, row in zip(dt_flags, frame.results)]
    assigned = [False] * len(dt_flags)
    tp, similar = 0, 0.0
    for i, gt_flag in enumerate(gt_flags):
        if gt_flag == -1:
            continue
        match = _best_match(frame.overlaps[overlap][i], dt_flags, usable, assigned, limit)
        if match is None:
            continue
        assigned[match] = True
        if gt_flag == 0 and dt_flags[match] == 0:
            tp += 1
            similar += (1 + np.cos(frame.labels[i][ALPHA] - frame.results[match][ALPHA])) / 2
    excused = [overlap == "bbox" and part > limit for part in frame.covered]
    wrong = zip(dt_flags, usable, assigned, excused)
    return tp, sum(f == 0 and u and not a and not e for f, u, a, e in wrong), similar


def _best_match(
    overlaps: list[float], dt_flags: list[int], usable: list[bool], assigned: list[bool], limit: float
) -> int | None:
    free: Callable[[int], bool] = lambda j: usable[j] and not assigned[j] and overlaps[j] > limit  # noqa: E731
    counted = [j for j, flag in enumerate(dt_flags) if flag == 0 and free(j)]
    if counted:
        return max(counted, key=lambda j: overlaps[j])
    return next((j for j, flag in enumerate(dt_flags) if flag == 1 and free(j)), None)

"""Suite ``boxes3d-eval``: AP of 3D boxes beside the walk through detections of the official scripts.

Scenes are made up: each of the boxes that a detector keeps is entered once for every class, as VoteNet and
3DETR do. The walk clips polygons in plain Python, a pair at a time, and each threshold anew.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.evaluation.boxes3d import SceneBoxes, evaluate_classes
from dense3d.evaluation.boxes3d.reference import evaluate_reference

THRESHOLDS = (0.25, 0.5)
OBJECTS = 14  # of a scene, about as many as ScanNet's have


def make_scenes(scenes: int, boxes: int, classes: int) -> tuple[SceneBoxes, SceneBoxes]:
    """Ground truth, and predictions of which most are near a ground truth."""
    rng = np.random.default_rng(0)
    names = [str(label) for label in range(classes)]
    truth, found = {}, {}
    for scene in range(scenes):
        center, size = rng.uniform(-3, 3, (OBJECTS, 3)), rng.uniform(0.3, 1.8, (OBJECTS, 3))
        real = np.concatenate([center, size, rng.uniform(-np.pi, np.pi, (OBJECTS, 1))], axis=1)
        truth[str(scene)] = {"boxes": real, "labels": rng.integers(0, classes, OBJECTS)}
        near = real[rng.integers(0, OBJECTS, boxes)] + rng.normal(scale=0.15, size=(boxes, 7))
        near[:, 3:6] = np.abs(near[:, 3:6])
        entry = {"boxes": np.tile(near, (classes, 1)), "labels": np.repeat(np.arange(classes), boxes)}
        found[str(scene)] = {**entry, "scores": rng.random(boxes * classes)}
    return SceneBoxes.of(truth, names), SceneBoxes.of(found, names)


def average_precision(_device: torch.device, scenes: int, boxes: int, classes: int) -> Workload:
    """AP and recall of every class at two thresholds."""
    pair = make_scenes(scenes, boxes, classes)
    return Workload((), {OURS: partial(_vectorised, *pair), "loop": partial(_loop, *pair)})


def _vectorised(truth: SceneBoxes, found: SceneBoxes) -> Tensor:
    figures = evaluate_classes(truth, found, THRESHOLDS)
    return torch.from_numpy(np.stack([figures.average_precision, figures.recall]))


def _loop(truth: SceneBoxes, found: SceneBoxes) -> Tensor:
    return torch.from_numpy(np.stack(evaluate_reference(truth, found, THRESHOLDS, clipped_iou)))


def clipped_iou(box: np.ndarray, other: np.ndarray) -> float:
    """IoU of two boxes (7,) by clipping one footprint at the sides of the other (Sutherland and Hodgman)."""
    top = min(box[2] + box[5] / 2, other[2] + other[5] / 2)
    bottom = max(box[2] - box[5] / 2, other[2] - other[5] / 2)
    polygon, sides = _footprint(box), _footprint(other)
    for start, end in zip(sides, sides[1:] + sides[:1]):
        polygon = _left_of(polygon, start, end)
    pairs = zip(polygon, polygon[1:] + polygon[:1])
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs) / 2
    common = area * max(top - bottom, 0.0)
    return common / (box[3] * box[4] * box[5] + other[3] * other[4] * other[5] - common)


def _footprint(box: np.ndarray) -> list[tuple[float, float]]:
    cosine, sine = np.cos(box[6]), np.sin(box[6])
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))  # counter-clockwise
    halves = [(u * box[3] / 2, v * box[4] / 2) for u, v in signs]
    return [(box[0] + x * cosine - y * sine, box[1] + x * sine + y * cosine) for x, y in halves]


def _left_of(polygon: list, start: tuple, end: tuple) -> list:
    """The part of a polygon on the left of a line."""
    kept = []
    side = [(end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0]) for x, y in polygon]
    for k, (x, y) in enumerate(polygon):
        here, there = side[k], side[(k + 1) % len(polygon)]
        if here >= 0:
            kept.append((x, y))
        if (here > 0 > there) or (here < 0 < there):
            share, (next_x, next_y) = here / (here - there), polygon[(k + 1) % len(polygon)]
            kept.append((x + share * (next_x - x), y + share * (next_y - y)))
    return kept


CASES = [
    Case(
        "average precision",
        average_precision,
        {"20 scenes, 60 boxes for each of 18 classes": {"scenes": 20, "boxes": 60, "classes": 18}},
        {"scenes": 3, "boxes": 10, "classes": 4},
    ),
]

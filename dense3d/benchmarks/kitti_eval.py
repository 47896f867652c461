"""Suite ``kitti-eval``: the KITTI evaluation beside one that goes frame by frame, on made-up results.

The full size is that of the usual validation split (3769 frames) with as many detections a frame as a
monocular detector writes without a score threshold.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.datasets.kitti.objects import (
    ALPHA,
    BOTTOM,
    BOX,
    DIMENSIONS,
    HEIGHT,
    LEFT,
    LOCATION,
    NO_ANGLE,
    NO_LOCATION,
    OCCLUDED,
    RIGHT,
    ROTATION,
    TOP,
    TRUNCATED,
    KittiObjects,
    Z,
    format_objects,
)
from dense3d.evaluation.kitti.average_precision import evaluate
from dense3d.evaluation.kitti.files import read_pair
from dense3d.evaluation.kitti.reference import evaluate_reference

# share of each type among the labels, and mean height, width, length in metres
TYPES = {
    "Car": (0.55, (1.53, 1.63, 3.88)),
    "Van": (0.06, (2.2, 1.9, 5.1)),
    "Pedestrian": (0.09, (1.76, 0.66, 0.84)),
    "Cyclist": (0.04, (1.74, 0.6, 1.76)),
    "DontCare": (0.26, (-1, -1, -1)),
}
ANGLES = [ALPHA, ROTATION]
EVALUATED = ("Car", "Pedestrian", "Cyclist")
FOCAL, CENTER = 721.5, (609.6, 172.9)
DETECTIONS = 47


def make_frames(number: int, detections: int = DETECTIONS) -> tuple[list[KittiObjects], list[KittiObjects]]:
    """Labels of a street and noisy detections: most labels are found, the rest is false."""
    rng = np.random.default_rng(0)
    pairs = [_frame(rng, detections) for _ in range(number)]
    return [label for label, _ in pairs], [result for _, result in pairs]


def _frame(rng: np.random.Generator, detections: int) -> tuple[KittiObjects, KittiObjects]:
    names = rng.choice(list(TYPES), size=rng.poisson(7), p=[share for share, _ in TYPES.values()])
    labels = _objects(rng, names)
    detected = (names != "DontCare") & (rng.random(len(names)) < 0.9)
    kept, found = labels.values[detected], names[detected]
    noisy = kept.copy()
    noisy[:, BOX] += rng.normal(0, 2, (len(kept), 4))
    noisy[:, HEIGHT : Z + 1] += rng.normal(0, 0.06, (len(kept), 6))
    noisy[:, ANGLES] += rng.normal(0, 0.05, (len(kept), 1))
    false = _objects(rng, rng.choice(EVALUATED, size=max(0, detections - len(kept))))
    values = np.concatenate([noisy, false.values])
    first, last = slice(LEFT, TOP + 1), slice(RIGHT, BOTTOM + 1)
    values[:, last] = np.maximum(values[:, last], values[:, first])
    scores = np.concatenate([rng.beta(5, 2, len(kept)), rng.beta(1, 4, len(false))])
    values[:, [TRUNCATED, OCCLUDED]] = -1
    result_names = tuple(n if n in EVALUATED else "Car" for n in found) + false.names
    return labels, KittiObjects(result_names, values).with_scores(scores.round(4))


def _objects(rng: np.random.Generator, names: np.ndarray) -> KittiObjects:
    """Random objects on the ground with the 2D boxes that their size and place give."""
    count, absent = len(names), names == "DontCare"
    size = np.array([TYPES[name][1] for name in names]).reshape(count, 3) * rng.uniform(0.9, 1.1, (count, 1))
    z = rng.uniform(6, 60, count)
    x, y, turn = z * rng.uniform(-0.8, 0.8, count), np.full(count, 1.65), rng.uniform(-3.1, 3.1, count)
    u, half = CENTER[0] + FOCAL * x / z, FOCAL * np.abs(size[:, 2]) / z / 2
    bottom, top = CENTER[1] + FOCAL * y / z, CENTER[1] + FOCAL * (y - np.abs(size[:, 0])) / z
    truncated, occluded = rng.choice([0, 0, 0, 0.2, 0.6], count), rng.choice([0, 0, 1, 2, 3], count)
    columns = (
        truncated,
        occluded,
        turn - np.arctan2(x, z),
        u - half,
        top,
        u + half,
        bottom,
        *size.T,
        x,
        y,
        z,
        turn,
    )
    values = np.stack(columns, axis=1).round(2)
    values[absent, TRUNCATED:ALPHA] = values[absent, DIMENSIONS] = -1
    values[absent, LOCATION] = NO_LOCATION
    values[np.ix_(absent, ANGLES)] = NO_ANGLE
    return KittiObjects(tuple(map(str, names)), values)


def evaluation(_device: torch.device, frames: int, with_reference: bool) -> Workload:
    labels, results = make_frames(frames)
    contenders = {OURS: lambda: _tensor(evaluate(labels, results).curves)}
    if with_reference:
        contenders["frame by frame"] = lambda: _tensor(evaluate_reference(labels, results))
    return Workload((), contenders)


def evaluation_with_files(_device: torch.device, frames: int) -> Workload:
    """Reading the label and result files as well; they lie in a temporary folder until the process ends."""
    folder = tempfile.TemporaryDirectory()
    write_frames(Path(folder.name), *make_frames(frames))

    def run() -> Tensor:
        pairs = read_pair(Path(folder.name) / "label_2", Path(folder.name) / "results")
        return _tensor(evaluate(pairs.labels, pairs.results).curves)

    return Workload((), {OURS: run})


def write_frames(folder: Path, labels: list[KittiObjects], results: list[KittiObjects]) -> None:
    """Write ``label_2`` and ``results`` below a folder."""
    for name, frames in (("label_2", labels), ("results", results)):
        (folder / name).mkdir(parents=True)
        for number, objects in enumerate(frames):
            (folder / name / f"{number:06d}.txt").write_text(format_objects(objects), encoding="utf-8")


def _tensor(curves: np.ndarray) -> Tensor:
    return torch.from_numpy(curves)


CASES = [
    Case(
        "evaluate",
        evaluation,
        {
            "100 frames": {"frames": 100, "with_reference": True},
            "3,769 frames": {"frames": 3769, "with_reference": False},
        },
        {"frames": 20, "with_reference": True},
    ),
    Case("read and evaluate", evaluation_with_files, {"3,769 frames": {"frames": 3769}}, {"frames": 20}),
]

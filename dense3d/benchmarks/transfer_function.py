"""Suite ``transfer-function``: how well and how fast few clicks separate structures of real volumes.

The labelled volumes are those of the sample data (``DENSE3D_SAMPLE_DATA``, by default ``data/samples``).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.benchmarks import transfer_function_peers as peers
from dense3d.datasets.volumes import open_volume
from dense3d.errors import DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.graph.classifier import GraphClassifier
from dense3d.transfer_function.measures import dice
from dense3d.transfer_function.simulation import make_person, play

REPORTED = (1, 3, 5, 10)  # rounds, a click in each structure each
SEEDS = (0, 1, 2)
STRUCTURES = 8  # the largest ones of a volume
LIMIT = 256  # voxels along an axis of the working grid


@dataclass(frozen=True)
class LabelledVolume:
    """One volume of the samples.

    Args:
        name: its folder below ``volumes``.
        image: file of the volume.
        masks: files of labels; of one file each label is a structure, of several each file.
    """

    name: str
    image: str
    masks: tuple[str, ...]

    def read(self, folder: Path) -> tuple[Volume, np.ndarray]:
        """The working grid and labels 1 .. C on it, of the largest structures, largest first.

        Raises:
            DataError: a file is not there.
        """
        files = [folder / "volumes" / self.name / file for file in (self.image, *self.masks)]
        for file in files:
            if not file.is_file():
                raise DataError(f"{file} is missing: name the folder of sample data in DENSE3D_SAMPLE_DATA")
        volume = open_volume(files[0]).canonical().reduced(LIMIT)
        masks = [np.rint(open_volume(file).canonical().values).astype(np.int64) for file in files[1:]]
        if len(masks) > 1:
            masks = [
                sum((number * (mask > 0) for number, mask in enumerate(masks, 1)), np.zeros_like(masks[0]))
            ]
        ids, sizes = np.unique(masks[0][masks[0] > 0], return_counts=True)
        truth = np.zeros(masks[0].shape, np.uint8)
        for label, found in enumerate(ids[np.argsort(-sizes, kind="stable")][:STRUCTURES], start=1):
            truth[masks[0] == found] = label
        return volume, truth


CASES = [
    LabelledVolume("ct_body", "ct.nii.gz", ("seg.nii.gz",)),
    LabelledVolume("mr_body", "mr.nii.gz", ("seg.nii.gz",)),
    LabelledVolume("ct_aorta", "ct.nii.gz", ("seg_aorta.nii.gz", "seg_vertebrae_T12.nii.gz")),
    LabelledVolume("ct_heart", "ct.nii.gz", ("seg_pulmonary_artery.nii.gz",)),
]


def _graph(*features: str, refined: bool = True) -> Callable[[Volume, int], peers.Contender]:
    return lambda volume, classes: peers.of_classifier(
        GraphClassifier(volume, features, refined=refined), classes
    )


CONTENDERS: dict[str, Callable[[Volume, int], peers.Contender]] = {
    "graph (default: hand-made and learnt features)": _graph("handmade", "learnt"),
    "graph, default without refinement to voxels": _graph("handmade", "learnt", refined=False),
    "graph, learnt features alone": _graph("learnt"),
    "graph, hand-made features alone": _graph("handmade"),
    "graph, position and intensity alone": _graph(),
    "threshold": peers.threshold,
    "random forest": peers.forest,
    "random walker on voxels": peers.voxel_walker,
}


@dataclass(frozen=True)
class Quality:
    """How one contender did on one volume.

    Args:
        volume: its name.
        contender: its name.
        dice: mean over structures and seeds after 1, 3, 5 and 10 rounds.
        per_structure: (rounds) of (structures), mean over seeds.
        seeds: (seeds) of (rounds), mean over structures.
        median: seconds that one classification of the whole volume took.
        worst: the longest of them.
        prepared: seconds before the first click.
    """

    volume: str
    contender: str
    dice: list[float]
    per_structure: list[list[float]]
    seeds: list[list[float]]
    median: float
    worst: float
    prepared: float

    @property
    def standard_errors(self) -> list[float]:
        """Of :attr:`dice` over the seeds, as samples of all seeds."""
        return (np.std(self.seeds, axis=0, ddof=1) / np.sqrt(len(self.seeds))).tolist()


def measure(
    case: LabelledVolume, volume: Volume, truth: np.ndarray, name: str, make: Callable, rule: str = "random"
) -> Quality:
    """Simulate the clicks of three seeds and score what is found.

    Args:
        case: the volume's entry.
        volume: the working grid.
        truth: (X, Y, Z) labels of the C structures.
        name: of the contender.
        make: (volume, C) to the contender; what it takes is reported as preparation.
        rule: of the clicks, see :mod:`dense3d.transfer_function.simulation`.
    """
    classes, start = int(truth.max()), time.perf_counter()
    classify = make(volume, classes)
    prepared = time.perf_counter() - start
    seconds: list[float] = []

    def timed(prompts: list) -> np.ndarray:
        begin = time.perf_counter()
        labels = classify(prompts)
        seconds.append(time.perf_counter() - begin)
        return labels

    scores = np.zeros((len(SEEDS), len(REPORTED), classes))
    for row, seed in enumerate(SEEDS):
        person = make_person(rule, truth, volume.spacing, seed)
        for number, labels in play(person, timed, max(REPORTED)):
            if number in REPORTED:
                found = [dice(labels, truth, c, c) or 0.0 for c in range(1, classes + 1)]
                scores[row, REPORTED.index(number)] = found
    means = scores.mean(axis=(0, 2))
    return Quality(
        case.name,
        name,
        means.tolist(),
        scores.mean(axis=0).tolist(),
        scores.mean(axis=2).tolist(),
        statistics.median(seconds),
        max(seconds),
        prepared,
    )


def sample_folder() -> Path:
    """Where the sample data lie."""
    return Path(os.environ.get("DENSE3D_SAMPLE_DATA") or "data/samples")


def contenders(checkpoint: str | None = None) -> dict[str, Callable[[Volume, int], peers.Contender]]:
    """The contenders; with a checkpoint also similarity of its features, before the baselines."""
    if checkpoint is None:
        return CONTENDERS
    from dense3d.transfer_function.methods import make_classifier

    def similarity(method: str) -> Callable[[Volume, int], peers.Contender]:
        return lambda volume, classes: peers.of_classifier(
            make_classifier(method, volume, checkpoint), classes
        )

    with_features = {name: similarity(name) for name in ("similarity", "similarity-refined")}
    return {**with_features, **CONTENDERS}

"""One image: its two png files read, checked and matched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dense3d.datasets.panoptic.agreement import disagreements, refuse
from dense3d.datasets.panoptic.id_map import palette_note, read_id_map
from dense3d.errors import DataError
from dense3d.evaluation.panoptic.matching import ImageMatch, Overlaps, Segments, match_segments

Outcome = tuple[ImageMatch, bool]
Reader = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class ImageJob:
    """Files and segments of one image.

    Args:
        true_png, true_segments: map and ``segments_info`` of the ground truth.
        true_where: file and image for errors.
        pred_png, pred_segments, pred_where: the same of the prediction.
        pixels: size of the image.
        positions: category id -> position of its class.
        strict: refuse ground truth that disagrees with itself.
    """

    true_png: str
    true_segments: list[dict[str, Any]]
    true_where: str
    pred_png: str
    pred_segments: list[dict[str, Any]]
    pred_where: str
    pixels: int
    positions: dict[int, int]
    strict: bool


def evaluate_image(job: ImageJob, read: Reader = read_id_map) -> Outcome:
    """Match one image.

    Args:
        job: the image.
        read: gives the ids (H, W) of a png.

    Returns:
        The match, and whether png and ``segments_info`` of the ground truth disagree.

    Raises:
        DataError: see :func:`dense3d.evaluation.panoptic.evaluate_files`.
    """
    true_map, pred_map = read(job.true_png), read(job.pred_png)
    try:
        overlaps = Overlaps.of(true_map, pred_map)
        prediction = Segments.of(job.pred_segments, job.positions, is_prediction=True)
    except DataError as error:
        raise DataError(f"{job.pred_where}: {error}") from None
    found = disagreements(*overlaps.true_areas(), job.true_segments)
    try:
        if job.strict:
            refuse(found, job.true_png)
        truth = Segments.of(job.true_segments, job.positions)
    except DataError as error:
        raise DataError(f"{job.true_where}: {error}") from None
    try:
        return match_segments(overlaps, truth, prediction), bool(found)
    except DataError as error:
        raise DataError(f"{job.pred_where}: {error}{palette_note(job.pred_png)}") from None

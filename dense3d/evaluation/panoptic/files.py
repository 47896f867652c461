"""Panoptic quality of JSON files and their folders of png, image by image and in several threads.

Decoding, sorting and comparing run outside Python's lock, so that threads of one process share the work as
processes would. Each further process takes seconds to load the compiled code, as long as thousands of images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.panoptic.agreement import disagreements, refuse
from dense3d.datasets.panoptic.files import PanopticFile, png_folder, read_panoptic, read_predictions
from dense3d.datasets.panoptic.id_map import palette_note, read_id_map
from dense3d.errors import DataError
from dense3d.evaluation.panoptic.matching import ImageMatch, Overlaps, Segments, match_segments
from dense3d.evaluation.panoptic.result import PanopticResult, summarise

Outcome = tuple[ImageMatch, bool]
Reader = Callable[[str], np.ndarray]
MANY_PIXELS = 150_000_000  # from which on compiled code gives the time back that it takes to load
MAX_WORKERS = 8  # more would wait for Python's lock


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


def run_jobs(jobs: list[ImageJob], workers: int, on_image: Callable[[], None]) -> list[Outcome]:
    """Outcomes of all images in their order.

    Args:
        jobs: the images.
        workers: threads.
        on_image: called in the calling thread when an image is done.

    Raises:
        DataError: an image is faulty; those after it are left.
    """
    evaluate = partial(evaluate_image, read=_reader(jobs))
    outcomes = []
    with ThreadPoolExecutor(workers) as pool:
        # If one raises, its iterator cancels those that have not begun.
        for outcome in pool.map(evaluate, jobs):
            outcomes.append(outcome)
            on_image()
    return outcomes


def _reader(jobs: list[ImageJob]) -> Reader:
    if sum(job.pixels for job in jobs) < MANY_PIXELS:
        return read_id_map
    from dense3d.datasets.panoptic.compiled_id_map import read_id_map_compiled

    return read_id_map_compiled


def evaluate_files(
    gt_json: str | Path,
    pred_json: str | Path,
    gt_dir: str | Path | None = None,
    pred_dir: str | Path | None = None,
    workers: int | None = None,
    strict: bool = True,
    on_image: Callable[[], None] | None = None,
) -> PanopticResult:
    """Evaluate predictions in COCO's panoptic format.

    One image at a time is in memory in each thread.

    Args:
        gt_json: annotations of the data set; all images that it annotates are evaluated.
        pred_json: predictions; those of other images are left out.
        gt_dir, pred_dir: folders of the png files; by default the JSON files' names without ``.json``.
        workers: threads; by default one a CPU core, but at most eight.
        strict: refuse ground truth whose png and ``segments_info`` disagree. Otherwise it is evaluated as the
            official evaluator does, with the stated areas, and a notice counts the images.
        on_image: called when an image is done.

    Raises:
        DataError: a file or an image's prediction is missing or broken, sizes differ, or ids are only in the
            png or only in the JSON file; the message names file and image.
    """
    truth = read_panoptic(gt_json)
    prediction = read_predictions(pred_json, truth.categories)
    folders = [png_folder(gt_json, gt_dir), png_folder(pred_json, pred_dir)]
    jobs = list(_jobs(truth, prediction, folders, strict))
    workers = workers or min(os.cpu_count() or 1, MAX_WORKERS)
    outcomes = run_jobs(jobs, workers, on_image or (lambda: None))
    notices = []
    disagreeing = sum(disagrees for _, disagrees in outcomes)
    if disagreeing:
        notices.append(
            f"in {disagreeing} of {len(jobs)} images the png and segments_info of the ground truth disagree; "
            "areas are those of the JSON file, as in the official evaluator"
        )
    matches = [match for match, _ in outcomes]
    return summarise(list(truth.categories.values()), matches, len(jobs), notices)


def _jobs(
    truth: PanopticFile, prediction: PanopticFile, folders: list[Path], strict: bool
) -> Iterator[ImageJob]:
    if not truth.annotations:
        raise DataError(f"{truth.path}: the list 'annotations' is empty: there is nothing to evaluate")
    positions = {number: position for position, number in enumerate(truth.categories)}
    for image, annotation in truth.annotations.items():
        predicted = prediction.annotations.get(image)
        if predicted is None:
            missing = sum(i not in prediction.annotations for i in truth.annotations)
            raise DataError(
                f"{prediction.path}: no prediction for image {image} ({annotation['file_name']}) and "
                f"{missing - 1} more of the {len(truth.annotations)} images; an image in which nothing is "
                "found needs an entry with empty segments_info and a black png"
            )
        yield ImageJob(
            str(folders[0] / annotation["file_name"]),
            annotation["segments_info"],
            truth.where(image),
            str(folders[1] / predicted["file_name"]),
            predicted["segments_info"],
            prediction.where(image),
            truth.images[image]["height"] * truth.images[image]["width"],
            positions,
            strict,
        )

"""Panoptic quality of JSON files and their folders of png, image by image and in several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from dense3d.datasets.panoptic.files import PanopticFile, png_folder, read_panoptic, read_predictions
from dense3d.errors import DataError
from dense3d.evaluation.panoptic.image_files import ImageJob
from dense3d.evaluation.panoptic.result import PanopticResult, summarise
from dense3d.evaluation.panoptic.workers import run_jobs

MAX_WORKERS = 8  # more would wait for Python's lock


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

"""Panoptic quality of a file of predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from dense3d.errors import DataError
from dense3d.evaluation.panoptic.files import evaluate_files
from dense3d.evaluation.panoptic.result import PanopticResult
from dense3d.files import atomic_write


def evaluate_panoptic(
    gt_json: str | Path,
    pred_json: str | Path,
    gt_dir: str | Path | None = None,
    pred_dir: str | Path | None = None,
    workers: int | None = None,
    strict: bool = True,
    json_file: str | Path | None = None,
    on_image: Callable[[], None] | None = None,
) -> PanopticResult:
    """Evaluate predictions in COCO's panoptic format, with the numbers of panopticapi.

    Args:
        gt_json, pred_json: annotations and predictions.
        gt_dir, pred_dir: folders of their png files; by default the JSON files' names without ``.json``.
        workers: threads; one a CPU core by default, but at most eight.
        strict: refuse ground truth whose png and ``segments_info`` disagree.
        json_file: also write all figures there.
        on_image: called when an image is done.

    Raises:
        DataError: see :func:`dense3d.evaluation.panoptic.evaluate_files`; or ``json_file`` is one of them.
    """
    if json_file and Path(json_file).resolve() in {Path(gt_json).resolve(), Path(pred_json).resolve()}:
        raise DataError(f"{json_file} is one of the files to evaluate; write the figures to another one")
    result = evaluate_files(gt_json, pred_json, gt_dir, pred_dir, workers, strict, on_image)
    if json_file:
        with atomic_write(json_file, "w") as file:
            json.dump(result.to_dict(), file, indent=1)
    return result

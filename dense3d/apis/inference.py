"""Predictions on image files: pictures, COCO-style results, label maps and KITTI's result files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.building import checked_config
from dense3d.apis.calibrations import needs_calibration
from dense3d.apis.inputs import find_images
from dense3d.apis.pipelines import inference_steps
from dense3d.apis.prediction import Predictor, no_calibration_wanted
from dense3d.datasets.panoptic.files import write_panoptic
from dense3d.files import atomic_write


@dataclass
class InferenceReport:
    """What a run of :func:`infer` wrote, and the files that it left out.

    Attributes:
        results: ``predictions.json``, of detectors of 3D boxes the folder of result files.
        pictures: in the order of the images.
        left_out: files that are no readable images, or that the model refused, and why.
    """

    results: Path
    pictures: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def infer(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: str | Path | Iterable[str | Path],
    out: str | Path,
    score_threshold: float = 0.3,
    batch_size: int = 1,
    device: str | None = None,
    options: dict[str, Any] | None = None,
    tta: bool = False,
    calibration: str | Path | None = None,
) -> InferenceReport:
    """Run a model on images and write pictures and results.

    Args:
        config: config file, name of a config, or loaded config.
        checkpoint: checkpoint file.
        inputs: images, folders (searched recursively) and globs.
        out: folder; gets a picture per image under ``pictures/``, ``predictions.json``, a list in COCO's
            result format in which every entry also names its file and category, and of segmentors the
            classes of all pixels as ``labels/*.png``, numbered as in the data set's annotations; of panoptic
            models also ``panoptic.json`` and ``panoptic/*.png`` in COCO's format. Detectors of 3D boxes
            write KITTI's result files ``results/*.txt`` in place of ``predictions.json``, and draw the boxes
            in the image and from above.
        score_threshold: predictions below it are neither drawn nor written.
        batch_size: images at a time.
        device, tta: see :class:`dense3d.apis.Predictor`.
        options: settings that override the config's.
        calibration: for detectors of 3D boxes, a calibration file of KITTI's format for all images, or a
            folder with a file of each image's name; by default the folder ``calib`` beside theirs.

    Raises:
        DataError: no image is found, or an image has no calibration. Files that cannot be read and images
            that the model refuses are left out and listed in the report.
    """
    images = find_images(inputs)
    cfg = checked_config(config, options)
    if calibration is not None and not needs_calibration(inference_steps(cfg)):
        raise no_calibration_wanted(cfg)
    predictor = Predictor(cfg, checkpoint, device, score_threshold, batch_size, tta)
    out = Path(out)
    report = InferenceReport(out / ("results" if predictor.detects_3d else "predictions.json"))
    lists: dict[str, list[dict]] = {"predictions": [], "panoptic": []}
    stems: set[str] = set()
    for result in predictor.each(images, calibration):
        if result.error is not None:
            report.left_out[result.name] = result.error
            continue
        stem = _free_stem(result.path.stem, stems)
        report.pictures.append(result.save(out / "pictures" / f"{stem}.jpg"))
        for name, rows in result.write(out, stem, len(report.pictures)).items():
            lists[name] += rows
    if not predictor.detects_3d:
        with atomic_write(report.results, "w") as file:
            json.dump(lists["predictions"], file)
    if lists["panoptic"]:
        write_panoptic(out / "panoptic.json", lists["panoptic"])
    return report


def _free_stem(stem: str, used: set[str]) -> str:
    """A name for an image's files; images of one name, from several folders, are told apart by a number."""
    name, number = stem, 1
    while name in used:
        number += 1
        name = f"{stem}_{number}"
    used.add(name)
    return name

"""Predictions on image files: pictures, COCO-style results, label maps, classes, KITTI's result files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.building import checked_config
from dense3d.apis.calibrations import needs_calibration
from dense3d.apis.cloud_pipelines import takes_clouds
from dense3d.apis.inputs import ImageInput, as_inputs, each_once
from dense3d.apis.pipelines import first_line, inference_steps, takes_pairs
from dense3d.apis.prediction import Predictor, no_calibration_wanted
from dense3d.datasets.panoptic.files import write_panoptic
from dense3d.errors import ConfigError
from dense3d.files import atomic_write, require_writable_folder
from dense3d.results import Result
from dense3d.results.lists import GrowingList
from dense3d.results.names import FileNames
from dense3d.results.part import UNKNOWN_IDS

FOLDERS = ("pictures", "labels", "panoptic")  # what infer writes pictures and maps into


@dataclass
class InferenceReport:
    """What a run of :func:`infer` wrote, and the files that it left out.

    Attributes:
        results: ``predictions.json``, or what takes its place: of detectors of 3D boxes the folder of result
            files, of panoptic models ``panoptic.json``, of classifiers ``predictions.csv``, of segmentors
            the folder of label maps.
        pictures: in the order of the images.
        left_out: files that are no readable images, or that the model refused, and why; or why there is no
            picture of an image whose results are written.
        renamed: images whose files are numbered, since another image has the same name, and that name.
        dropped: predictions that were left out because they are impossible, such as boxes of negative size.
        notes: sentences on what is unusual in the results.
    """

    results: Path
    pictures: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    notes: list[str] = field(default_factory=list)


def infer(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: Any,
    out: str | Path,
    score_threshold: float = 0.3,
    batch_size: int = 1,
    device: str | None = None,
    options: dict[str, Any] | None = None,
    tta: bool = False,
    calibration: str | Path | None = None,
) -> InferenceReport:
    """Run a model on images and write pictures and results, image by image.

    Results are on the disk as soon as an image is done: what makes up ``predictions.json`` and
    ``panoptic.json`` stands in ``*.jsonl`` until the run ends, whether well or with an error. A run that is
    killed leaves ``*.jsonl`` with what it had done.

    Args:
        config: config file, name of a config, or loaded config.
        checkpoint: checkpoint file.
        inputs: images, folders (searched recursively) and globs, arrays, PIL images and tensors; one of them
            or a list. See :class:`dense3d.apis.Predictor`.
        out: folder; gets a picture per image under ``pictures/`` and, of detectors, ``predictions.json``, a
            list in COCO's result format in which every entry also names its file and category; of segmentors
            the classes of all pixels as ``labels/*.png``, numbered as in the data set's annotations; of
            panoptic models ``panoptic.json`` and ``panoptic/*.png`` in COCO's format; of classifiers
            ``predictions.json`` with all probabilities and ``predictions.csv`` with the best. Detectors of
            3D boxes write KITTI's result files ``results/*.txt``, and draw the boxes in the image and from
            above.
        score_threshold: predictions below it are neither drawn nor written.
        batch_size: images at a time.
        device, tta: see :class:`dense3d.apis.Predictor`.
        options: settings that override the config's.
        calibration: for detectors of 3D boxes, a calibration file of KITTI's format for all images, or a
            folder with a file of each image's name; by default the folder ``calib`` beside theirs.

    Raises:
        ConfigError: ``out`` cannot be written to, or files in it are among the images.
        DataError: no image is found, or an image has no calibration. Files that cannot be read and images
            that the model refuses are left out and listed in the report.
    """
    out = Path(out)
    require_writable_folder(out)
    images = each_once(as_inputs(inputs))
    _spare_inputs(images, out)
    cfg = checked_config(config, options)
    if takes_clouds(inference_steps(cfg)):
        raise ConfigError(f"{cfg.filename} takes point clouds: use dense3d.apis.infer_clouds")
    if takes_pairs(inference_steps(cfg)):
        raise ConfigError(
            f"{cfg.filename} matches two images: use dense3d.apis.infer_pairs(..., left, right)"
        )
    if calibration is not None and not needs_calibration(inference_steps(cfg)):
        raise no_calibration_wanted(cfg)
    predictor = Predictor(cfg, checkpoint, device, score_threshold, batch_size, tta)
    results = predictor.each(images, calibration)
    run = _Run(out, predictor.detects_3d)
    try:
        for result in results:
            run.take(result)
    finally:
        run.finish()
    if run.numbers_classes and predictor.info.category_ids is None:
        run.report.notes.append(UNKNOWN_IDS)
    return run.report


class _Run:
    """The files of a run, written image by image."""

    def __init__(self, out: Path, detects_3d: bool) -> None:
        self.out, self.detects_3d = out, detects_3d
        self.report = InferenceReport(out / ("results" if detects_3d else "predictions.json"))
        self.names = FileNames()
        self.lists = {name: GrowingList(out / f"{name}.json") for name in ("predictions", "panoptic")}
        self.done = 0
        self.numbers_classes = self.classifies = False

    def take(self, result: Result) -> None:
        """Write what belongs to an image, or why there is nothing."""
        report = self.report
        if result.error is not None:
            report.left_out[result.name] = result.error
            return
        file = result.path or Path(result.name)
        stem = self.names.of(file)
        if stem != file.stem:
            report.renamed[result.name] = stem
        self.done += 1
        report.dropped += sum(part.dropped for part in result.parts)
        entries = result.write(self.out, stem, self.done)
        for name, rows in entries.items():
            self.lists[name].extend(rows)
        self.classifies |= any("probabilities" in row for row in entries.get("predictions", ()))
        self.numbers_classes |= any(entries.values()) and not self.classifies
        picture = self.out / "pictures" / f"{stem}.jpg"
        try:
            report.pictures.append(result.save(picture))
        except OSError:  # of the disk, not of the picture
            raise
        except Exception as error:  # the results are there, and further images wait
            report.left_out[result.name] = (
                f"{result.name}: its results are written, but it cannot be drawn ({first_line(error)})"
            )

    def finish(self) -> None:
        """Turn the lines that were written into the lists that other tools read."""
        predictions, panoptic = self.lists["predictions"], self.lists["panoptic"]
        if panoptic.has_begun:
            write_panoptic(panoptic.target, panoptic.rows())
            panoptic.close()
        if predictions.has_begun or not (self.done or self.detects_3d):
            if self.classifies:
                self._write_table(predictions.rows())
            predictions.finish()
        elif not self.detects_3d:  # a model without objects; a list of that name is somebody else's
            places = (panoptic.target, self.out / "labels", self.out / "pictures")
            self.report.results = next((place for place in places if place.exists()), self.out)

    def _write_table(self, rows: list[dict[str, Any]]) -> None:
        """``predictions.csv`` of classes, which the report names."""
        from dense3d.results.classification import write_table

        self.report.results = self.out / "predictions.csv"
        with atomic_write(self.report.results, "w") as file:
            write_table(rows, file)


def _spare_inputs(images: list[ImageInput], out: Path) -> None:
    """Refuse to write where images of the run lie: a picture could take the place of a photograph."""
    folders = {os.path.realpath(out / name) for name in FOLDERS}
    for image in images:  # links in a circle make Path.resolve fail
        if image.path is not None and os.path.dirname(os.path.realpath(image.path)) in folders:  # noqa: PTH120
            raise ConfigError(
                f"{image.path} is one of the images and lies where pictures are written: name another --out"
            )

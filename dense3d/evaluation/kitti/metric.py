"""KITTI's evaluation as a metric of mmengine, for validation during training."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from dense3d.datasets.kitti.frames import read_image_set
from dense3d.datasets.kitti.objects import KittiObjects, read_objects, without_faults
from dense3d.datasets.kitti.results import require_new, write_results
from dense3d.errors import DataError
from dense3d.evaluation.images import refuse_strangers, refuse_twins
from dense3d.evaluation.kitti.average_precision import evaluate
from dense3d.evaluation.kitti.protocol import Protocol
from dense3d.registry import METRICS


@METRICS.register_module()
class KittiMetric(BaseMetric):
    """AP of 2D, BEV and 3D boxes and of orientation, equal to the C++ devkit's.

    Every data sample needs ``frame``, the name of its files, and ``predictions``, the detections as
    :class:`~dense3d.datasets.kitti.KittiObjects` with scores, empty where nothing is detected. Figures are
    named ``kitti/Car/3d_ap40_moderate_strict`` and so on.

    Args:
        label_folder: ``training/label_2``.
        image_set: list of the frames that must be there, such as ``ImageSets/val.txt``.
        classes: which of Car, Pedestrian and Cyclist.
        extra_classes: further classes, each with the one whose limits it takes: ``dict(Bus="Car")``.
        points: report AP over 11 or 40 recalls.
        result_folder: also write the detections there, a file a frame; must be new or empty. Of several
            validations it keeps the last one's.
        **kwargs: ``collect_device``, ``prefix`` ... of mmengine's ``BaseMetric``.

    Raises:
        ConfigError: a class that KITTI does not evaluate.
        DataError: ``result_folder`` holds files; while it computes, if a frame is missing, came twice or has
            no label.

    Detections that cannot be, such as those of negative size, count as not made, and are warned of: see
    :func:`dense3d.datasets.kitti.without_faults`.
    """

    default_prefix = "kitti"

    def __init__(
        self,
        label_folder: str,
        image_set: str | None = None,
        classes: Sequence[str] = ("Car", "Pedestrian", "Cyclist"),
        points: int = 40,
        result_folder: str | None = None,
        extra_classes: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = Protocol.of(classes, extra_classes)
        self.extra_classes = tuple(extra_classes or ())
        self.label_folder, self.image_set = Path(label_folder), image_set
        self.points, self.result_folder = points, result_folder
        if result_folder:
            require_new(result_folder)
        self._wrote = False
        self._frames: set[str] | None = None

    def check_loader(self, samples: Sequence[Mapping[str, Any]], classes: Sequence[str] | None) -> None:
        """Compare with the frames of the data set, before anything is predicted.

        Frames of ``image_set`` that the data set leaves out, as with ``indices``, are not asked for then.

        Args:
            samples: ``frame`` of every image.
            classes: of the data set, which may have more or fewer than are evaluated.

        Raises:
            DataError: a frame comes twice or is not in ``image_set``.
        """
        refuse_twins(samples, "frame")
        learned = {name.lower() for name in classes or self.protocol.classes}
        absent = [name for name in self.protocol.classes if name.lower() not in learned]
        if absent:
            print_log(
                f"{', '.join(absent)}: evaluated, but no class of the data set, so that the figures are 0; "
                "correct the metric's classes",
                "current",
                logging.WARNING,
            )
        if self.image_set is None:
            return
        listed = read_image_set(self.image_set, any_names=True)
        refuse_strangers(samples, dict.fromkeys(listed), self.image_set, "frame")
        self._frames = {sample["frame"] for sample in samples}
        if len(self._frames) < len(listed):
            print_log(
                f"{len(self._frames)} of the {len(listed)} frames of {self.image_set} are evaluated",
                "current",
                logging.WARNING,
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the detections of one batch."""
        for sample in data_samples:
            objects, dropped = without_faults(sample["predictions"])
            self.results.append((sample["frame"], objects.names, objects.values, dropped))

    def compute_metrics(
        self, results: list[tuple[str, tuple[str, ...], np.ndarray, list[str]]]
    ) -> dict[str, float]:
        """Figures of all frames."""
        detections: dict[str, KittiObjects] = {}
        for frame, names, values, _ in results:
            if frame in detections:
                raise DataError(f"frame {frame} was predicted twice; the data set lists it twice")
            detections[frame] = KittiObjects(names, values)
        self._tell_dropped([(frame, dropped) for frame, *_, dropped in results if dropped], detections)
        self._check_complete(detections)
        if self.result_folder:
            self._write(detections)
        files = [self.label_folder / f"{frame}.txt" for frame in detections]
        labels = [read_objects(file, extra_classes=self.extra_classes) for file in files]
        result = evaluate(labels, list(detections.values()), self.protocol)
        MMLogger.get_current_instance().info("\n" + result.table((self.points,)))
        return result.flat(self.points)

    @staticmethod
    def _tell_dropped(dropped: list[tuple[str, list[str]]], detections: dict[str, KittiObjects]) -> None:
        if not dropped:
            return
        number = sum(len(sentences) for _, sentences in dropped)
        whole = number + sum(map(len, detections.values()))
        frame, sentences = dropped[0]
        MMLogger.get_current_instance().warning(
            f"{number} of {whole} detections cannot be and are left out, "
            f"first in frame {frame}: {sentences[0]}"
        )

    def _write(self, detections: dict[str, KittiObjects]) -> None:
        if self._wrote:
            shutil.rmtree(self.result_folder)  # what the validation before this one wrote
        write_results(self.result_folder, detections, extra_classes=self.extra_classes)
        self._wrote = True

    def _check_complete(self, detections: dict[str, KittiObjects]) -> None:
        if self.image_set is None:
            return
        wanted = self._frames or read_image_set(self.image_set, any_names=True)
        missing, unlisted = sorted(set(wanted) - set(detections)), sorted(set(detections) - set(wanted))
        if missing or unlisted:
            first = (
                f"frame {missing[0]} was not predicted" if missing else f"frame {unlisted[0]} is not in it"
            )
            raise DataError(
                f"{self.image_set} and the predicted frames differ: {first} "
                f"({len(missing)} missing, {len(unlisted)} unlisted); use the same list in the data set"
            )

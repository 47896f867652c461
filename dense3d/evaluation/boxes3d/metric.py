"""Oriented 3D boxes as a metric of mmengine, for validation in training and for ``dense3d test``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.boxes3d.files import require_boxes_name, write_scene_boxes
from dense3d.evaluation.boxes3d.proposals import ProposalProtocol
from dense3d.evaluation.boxes3d.protocols import get_protocol
from dense3d.evaluation.boxes3d.result import require_result_name
from dense3d.evaluation.boxes3d.scene_boxes import SceneBoxes
from dense3d.files import require_writable_file
from dense3d.registry import METRICS
from dense3d.structures.boxes3d import boxes_of_corners


@METRICS.register_module()
class Boxes3DMetric(BaseMetric):
    """AP25, AP50, AR25 and AR50 of oriented 3D boxes in 0..1, and of each class (``boxes3d/AP25_chair``).

    With ``protocol="nerf-rpn"``, average precision and recall of boxes without classes, in voxels
    (``boxes3d/AP25``, ``boxes3d/recall50_top300``, ``boxes3d/AR_top300``).

    Samples are those of :class:`~dense3d.structures.PointDataSample`: ``pred_boxes`` (P, 7),
    ``pred_box_scores`` (P,) and ``pred_box_labels`` (P,) against ``gt_boxes`` and ``gt_box_labels``.

    Args:
        protocol: a name of :data:`~dense3d.evaluation.boxes3d.PROTOCOLS`; ``"indoor"`` takes the data set's
            classes.
        thresholds: IoUs that a match has to exceed; the protocol's unless given.
        top: of ``"nerf-rpn"``: average precision of that many proposals of a scene, the official
            ``ap_top_n``; of all unless given.
        result_file: also write all figures there, ``.json`` or, a row a class, ``.csv``.
        boxes_file: also write the predictions there, ``.npz`` or ``.json``, as ``dense3d eval-boxes3d``
            reads them, and the ground truth beside them as ``<name>.truth.<suffix>``.
        **kwargs: ``collect_device``, ``prefix`` of mmengine's ``BaseMetric``.

    Raises:
        ConfigError: no such protocol; the data set names no classes.
        DataError: while it runs, a sample without ground truth or predictions.
    """

    default_prefix = "boxes3d"

    def __init__(
        self,
        protocol: str = "indoor",
        thresholds: Sequence[float] | None = None,
        top: int | None = None,
        result_file: str | None = None,
        boxes_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = get_protocol(protocol, thresholds, top)
        self.result_file, self.boxes_file = result_file, boxes_file
        if result_file:
            require_writable_file(require_result_name(result_file))
        if boxes_file:
            require_writable_file(require_boxes_name(boxes_file))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the boxes of a batch."""
        for sample in data_samples:
            name = str(sample.get("sample_id", len(self.results)))
            if isinstance(self.protocol, ProposalProtocol):
                sample = {**sample, **_without_classes(sample)}
            for field in ("gt_boxes", "gt_box_labels", "pred_boxes", "pred_box_scores", "pred_box_labels"):
                if sample.get(field) is None:
                    raise DataError(f"{name} has no {field}: 3D boxes are evaluated on a data set with boxes")
            truth = {"boxes": sample["gt_boxes"], "labels": sample["gt_box_labels"]}
            found = {"boxes": sample["pred_boxes"], "labels": sample["pred_box_labels"]}
            found["scores"] = sample["pred_box_scores"]
            self.results.append((name, _arrays(truth), _arrays(found)))

    def compute_metrics(self, results: list[tuple[str, dict, dict]]) -> dict[str, float]:
        """Figures of all scenes."""
        classes = tuple((self.dataset_meta or {}).get("classes", ()))
        if isinstance(self.protocol, ProposalProtocol):
            classes = ("object",)
        if not classes:
            raise ConfigError("Boxes3DMetric needs a data set that names its classes")
        names = [name for name, *_ in results]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"scene {twice!r} was predicted twice: sample ids of a data set differ")
        truth = SceneBoxes.of({name: gt for name, gt, _ in results}, classes)
        predictions = SceneBoxes.of({name: found for name, _, found in results}, classes)
        result = self.protocol.evaluate(truth, predictions)
        logger = MMLogger.get_current_instance()
        logger.info(f"3D boxes:\n{result.table()}")
        for notice in result.notices:
            logger.warning(notice)
        if self.result_file:
            result.write(self.result_file)
        if self.boxes_file:
            path = Path(self.boxes_file)
            write_scene_boxes(predictions, path)
            write_scene_boxes(truth, path.with_suffix(f".truth{path.suffix}"))
        return result.flat()


def _without_classes(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample's boxes ``(N, 7)``, also of corners ``(N, 6)``, with labels of 0: classes do not count."""
    found = {}
    for kind in ("gt", "pred"):
        boxes = sample.get(f"{kind}_boxes")
        if boxes is not None:
            boxes = boxes_of_corners(boxes) if boxes.shape[-1] == 6 else boxes
            found |= {f"{kind}_boxes": boxes, f"{kind}_box_labels": torch.zeros(len(boxes)).long()}
    return found


def _arrays(entry: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: values.detach().cpu().numpy() for name, values in entry.items()}

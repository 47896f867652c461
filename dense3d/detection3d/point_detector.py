"""What detectors of oriented boxes in clouds share: batches in, true boxes checked, detections out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.detection3d.box_decoding import BoxDecoder
from dense3d.errors import DataError
from dense3d.pointcloud.batches import clouds_of
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample


class PointDetector(BaseModel):
    """Base of VoteNet and 3DETR.

    Args:
        backbone: a model of the registry with ``out_channels`` and ``seeds(points, features, lengths)``,
            which gives :class:`~dense3d.pointcloud.set_abstraction.PointFeatures`.
        num_classes: of the boxes.
        decoding: arguments of :class:`~dense3d.detection3d.box_decoding.BoxDecoder`.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        num_classes: int,
        decoding: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor or PointDataPreprocessor(), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.num_classes = num_classes
        self.decoder_of_boxes = BoxDecoder(**(decoding or {}))

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Losses, detections or raw predictions.

        Args:
            inputs: clouds ``(B, N, 3)``, or what :class:`dense3d.pointcloud.PointDataPreprocessor` gives.
            data_samples: with ``gt_boxes`` and ``gt_box_labels`` for ``"loss"``; ``"predict"`` adds to them.
            mode: ``"loss"``; ``"predict"``, samples with ``pred_boxes`` (D, 7), ``pred_box_scores`` (D,) and
                ``pred_box_labels`` (D,); or ``"tensor"``.

        Raises:
            DataError: a cloud or a box is no good; the message says why.
        """
        points, features, lengths = clouds_of(inputs)
        found = self.predictions(points, features, lengths)
        if mode == "loss":
            boxes, labels = self._truth(data_samples, points)
            return self.losses(found, points, lengths, boxes, labels, data_samples)
        if mode == "predict":
            return self._predict(found, points, lengths, data_samples)
        return found

    def predictions(self, points: Tensor, features: Tensor | None, lengths: Tensor | None) -> Any:
        """Raw predictions of a batch of clouds; each detector has its own."""
        raise NotImplementedError

    def losses(
        self,
        found: Any,
        points: Tensor,
        lengths: Tensor | None,
        boxes: list[Tensor],
        labels: list[Tensor],
        samples: list[PointDataSample],
    ) -> dict[str, Tensor]:
        """Losses of raw predictions against true boxes ``(K_i, 7)`` and their labels."""
        raise NotImplementedError

    def scored(self, found: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes ``(B, K, 7)``, objectness ``(B, K)`` and probabilities of classes ``(B, K, C)``."""
        raise NotImplementedError

    def _predict(
        self, found: Any, points: Tensor, lengths: Tensor | None, samples: list[PointDataSample] | None
    ) -> list[PointDataSample]:
        counts = [points.shape[1]] * len(points) if lengths is None else lengths.tolist()
        samples = samples or [PointDataSample() for _ in counts]
        scenes = zip(samples, points, counts, *(part.float() for part in self.scored(found)))
        for sample, cloud, count, boxes, objectness, probabilities in scenes:
            detections = self.decoder_of_boxes(boxes, objectness, probabilities, cloud[:count])
            sample.pred_boxes, sample.pred_box_labels = detections.boxes, detections.labels
            sample.pred_box_scores = detections.scores
        return samples

    def _truth(
        self, samples: list[PointDataSample] | None, points: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        if not samples or any("gt_boxes" not in s or "gt_box_labels" not in s for s in samples):
            raise DataError("clouds came without gt_boxes and gt_box_labels: use a data set that has boxes")
        boxes = [torch.as_tensor(sample.gt_boxes).to(points).view(-1, 7) for sample in samples]
        labels = [torch.as_tensor(sample.gt_box_labels).to(points.device).view(-1) for sample in samples]
        for sample, its_boxes, its_labels in zip(samples, boxes, labels):
            _check_boxes(its_boxes, its_labels, self.num_classes, str(sample.get("sample_id", "a cloud")))
        return boxes, labels


def _check_boxes(boxes: Tensor, labels: Tensor, num_classes: int, name: str) -> None:
    if len(boxes) != len(labels):
        raise DataError(f"{name} has {len(boxes)} boxes and {len(labels)} labels of boxes")
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise DataError(
            f"{name} has a box of label {int(wrong[0])} and the model {num_classes} classes: set "
            "model.num_classes to the data's"
        )
    bad = ~(boxes.isfinite().all(dim=1) & (boxes[:, 3:6] > 0).all(dim=1))
    if bad.any():
        row = [round(value, 3) for value in boxes[bad][0].tolist()]
        raise DataError(
            f"{name} has a box without volume, or with a number that is none: {row} (x, y, z, sizes, yaw); "
            "correct its annotation"
        )

"""Auxiliary heads of Co-DETR: detectors with one-to-many assignments on the encoder's maps.

Zong et al., ICCV 2023 (arXiv 2211.12860), section 3.2. A head has ``loss_and_assignments``: its losses, and
what its candidates were assigned to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from dense3d.detection2d.co_detr.positive_queries import Assignment
from dense3d.registry import MODELS

if TYPE_CHECKING:
    from mmdet.models.task_modules import SamplingResult
    from mmdet.structures import DetDataSample

LossesAndAssignments = tuple[dict[str, Tensor | list[Tensor]], list[Assignment]]


@MODELS.register_module()
class ATSSAuxiliaryHead(ATSSHead):
    """mmdet's ``ATSSHead`` (arXiv 1912.02424), which also tells its assignments."""

    _assignments: list[Assignment] | None = None

    def loss_and_assignments(
        self, maps: tuple[Tensor, ...], data_samples: list[DetDataSample]
    ) -> LossesAndAssignments:
        """Losses, and the object that each anchor of each image stands for.

        Args:
            maps: ``(B, C, h, w)``, one a stride of the anchors.
            data_samples: with ``gt_instances`` in pixels.
        """
        losses = self.loss(maps, data_samples)
        assignments, self._assignments = self._assignments, None
        return losses, assignments

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], ...]:
        """mmdet's predictions in full precision."""
        return _in_full_precision(super().forward(x))

    def get_targets(self, *args, **kwargs) -> tuple:
        """mmdet's targets, remembered for :meth:`loss_and_assignments`."""
        result = super().get_targets(*args, **kwargs)
        anchors, labels, _, boxes = (torch.cat(levels, 1) for levels in result[:4])  # (B, N, ...)
        self._assignments = [Assignment(*image) for image in zip(anchors, labels, boxes)]
        return result


@MODELS.register_module()
class FasterRCNNAuxiliaryHead(BaseModule):
    """Region proposals and a box head, mmdet's Faster R-CNN (arXiv 1506.01497) without backbone and neck.

    Args:
        rpn_head: config of an mmdet ``RPNHead``.
        roi_head: config of an mmdet ``StandardRoIHead`` without masks, on the first maps.
        train_cfg: mmdet's ``rpn``, ``rpn_proposal`` and ``rcnn``.
        init_cfg: mmengine initialisation.
    """

    def __init__(self, rpn_head: dict, roi_head: dict, train_cfg: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        train_cfg = ConfigDict(train_cfg)
        self.proposal_cfg = train_cfg.rpn_proposal
        self.rpn_head = MMDET_MODELS.build({**rpn_head, "train_cfg": train_cfg.rpn})
        self.roi_head = MMDET_MODELS.build({**roi_head, "train_cfg": train_cfg.rcnn})

    def loss_and_assignments(
        self, maps: tuple[Tensor, ...], data_samples: list[DetDataSample]
    ) -> LossesAndAssignments:
        """Losses of both stages, and the object that each sampled proposal of each image stands for.

        Args:
            maps: ``(B, C, h, w)``, one a stride of the anchors; the box head takes the first ones.
            data_samples: with ``gt_instances`` in pixels.
        """
        truths, ignored, metas = unpack_gt_instances(data_samples)
        predictions = _in_full_precision(self.rpn_head(maps))
        losses = self.rpn_head.loss_by_feat(*predictions, [_objects(t) for t in truths], metas, ignored)
        proposals = self.rpn_head.predict_by_feat(*predictions, batch_img_metas=metas, cfg=self.proposal_cfg)
        sampled = [self._sample(*image) for image in zip(proposals, truths, ignored)]
        losses |= self.roi_head.bbox_loss(maps, sampled)["loss_bbox"]
        background = self.roi_head.bbox_head.num_classes
        return losses, [_assignment(result, background) for result in sampled]

    def _sample(
        self, proposals: InstanceData, truth: InstanceData, ignored: InstanceData | None
    ) -> SamplingResult:
        proposals.priors = proposals.pop("bboxes")
        assigned = self.roi_head.bbox_assigner.assign(proposals, truth, ignored)
        return self.roi_head.bbox_sampler.sample(assigned, proposals, truth)


def _in_full_precision(predictions: Sequence[Sequence[Tensor]]) -> tuple[list[Tensor], ...]:
    """Boxes have up to thousands of pixels, and areas of their square: too many for half precision."""
    return tuple([level.float() for level in levels] for levels in predictions)


def _objects(truth: InstanceData) -> InstanceData:
    """Every object in class 0, as region proposals have it."""
    return InstanceData(bboxes=truth.bboxes, labels=torch.zeros_like(truth.labels))


def _assignment(sampled: SamplingResult, background: int) -> Assignment:
    labels = sampled.pos_gt_labels.new_full((len(sampled.priors),), background)
    labels[: len(sampled.pos_priors)] = sampled.pos_gt_labels  # positive ones stand first
    targets = torch.zeros_like(sampled.priors)
    targets[: len(sampled.pos_priors)] = sampled.pos_gt_bboxes.to(targets)
    return Assignment(sampled.priors, labels, targets)

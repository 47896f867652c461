"""Targets of DETR heads for a whole batch at once.

mmdet's heads match image by image and cost by cost: with many small images that loop is much of a step.
"""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData
from torch import Tensor

from dense3d.layers.assignment import assign, own_pairs
from dense3d.registry import MODELS

# Costs compare boxes in images of this many pixels a side. Any would do for L1 distances of normalised boxes
# and for IoUs; at this one areas stay far above the smallest that mmdet divides by.
_SIDE = 1000.0


@MODELS.register_module()
class BatchedDETRHead(DETRHead):
    """mmdet's ``DETRHead`` with the costs of all images in one matrix.

    It computes what ``DETRHead`` computes. The assigner's match costs are called once a decoder layer, with
    all images' queries and boxes, and each image's block goes to scipy's solver.
    """

    def __init__(self, num_classes: int, *args, loss_cls: dict, **kwargs) -> None:
        # mmdet reads the weight of the background in its own class only, not in those that inherit from it.
        weight = loss_cls.get("class_weight", 1.0)
        background = loss_cls.get("bg_cls_weight", weight)
        loss_cls = {k: v for k, v in loss_cls.items() if k != "bg_cls_weight"}
        loss_cls["class_weight"] = [weight] * num_classes + [background]
        super().__init__(num_classes, *args, loss_cls=loss_cls, **kwargs)
        self.bg_cls_weight = background

    @torch.no_grad()
    def get_targets(
        self,
        cls_scores_list: list[Tensor],
        bbox_preds_list: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], int, int]:
        """Targets of one decoder layer.

        Args:
            cls_scores_list: ``(Q, classes)`` logits of each image.
            bbox_preds_list: ``(Q, 4)`` CXCYWH of each image, in fractions of its sides.
            batch_gt_instances: ``bboxes`` ``(G, 4)`` XYXY in pixels and ``labels`` of each image.
            batch_img_metas: ``img_shape`` of each image.

        Returns:
            labels, label weights ``(B * Q,)``, boxes (normalised CXCYWH) and box weights ``(B * Q, 4)``, each
            as a list of one tensor; the numbers of queries with and without a box.
        """
        scores = torch.cat(cls_scores_list)  # (B * Q, classes)
        sizes = [meta["img_shape"][::-1] for meta in batch_img_metas]
        truths = [
            gt.bboxes / gt.bboxes.new_tensor(size).repeat(2) for gt, size in zip(batch_gt_instances, sizes)
        ]
        truth = torch.cat(truths)  # (sum of G, 4) XYXY, normalised
        labels = torch.cat([gt.labels for gt in batch_gt_instances])
        cost = self._costs(scores, torch.cat(bbox_preds_list), truth, labels)

        counts = [len(boxes) for boxes in truths]
        matches = assign(own_pairs(cost, counts)[None], counts)
        query = matches.image * len(cls_scores_list[0]) + matches.query
        target = matches.among_all(counts)
        all_labels = labels.new_full((len(scores),), self.num_classes)
        all_labels[query] = labels[target]
        boxes = truth.new_zeros(len(scores), 4)
        boxes[query] = bbox_xyxy_to_cxcywh(truth[target])
        weights = torch.zeros_like(boxes)
        weights[query] = 1.0
        label_weights = truth.new_ones(len(scores))
        return [all_labels], [label_weights], [boxes], [weights], len(query), len(scores) - len(query)

    def _costs(self, scores: Tensor, boxes: Tensor, truth: Tensor, labels: Tensor) -> Tensor:
        """Sum of the assigner's costs, (B * Q, sum of G)."""
        queries = InstanceData(scores=scores, bboxes=bbox_cxcywh_to_xyxy(boxes).to(truth.dtype) * _SIDE)
        targets = InstanceData(labels=labels, bboxes=truth * _SIDE)
        meta = {"img_shape": (_SIDE, _SIDE)}
        return sum(
            cost(pred_instances=queries, gt_instances=targets, img_meta=meta)
            for cost in self.assigner.match_costs
        )

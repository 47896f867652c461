"""Targets for a batch equal those that mmdet's head finds image by image."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from mmengine.structures import InstanceData

from dense3d.detection2d.batched_targets import BatchedDETRHead, DETRHead

QUERIES, CLASSES = 12, 5
CONFIG = dict(
    num_classes=CLASSES,
    embed_dims=16,
    loss_cls=dict(type="mmdet.CrossEntropyLoss", bg_cls_weight=0.1, class_weight=1.0),
    loss_bbox=dict(type="mmdet.L1Loss", loss_weight=5.0),
    loss_iou=dict(type="mmdet.GIoULoss", loss_weight=2.0),
    train_cfg=dict(
        assigner=dict(
            type="mmdet.HungarianAssigner",
            match_costs=[
                dict(type="mmdet.ClassificationCost", weight=1.0),
                dict(type="mmdet.BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="mmdet.IoUCost", iou_mode="giou", weight=2.0),
                dict(type="dense3d.QueryCellCost", query_grid=(4, 3), weight=1.5),
            ],
        )
    ),
)


def _batch(counts: list[int]) -> tuple[list, list, list, list]:
    """Predictions and boxes of images of different sizes, some boxes of a pixel and less."""
    generator = torch.Generator().manual_seed(3)
    scores, boxes, truths, metas = [], [], [], []
    for image, count in enumerate(counts):
        height, width = 96 + 40 * image, 700 - 90 * image
        corner = torch.rand(count, 2, generator=generator) * 0.7
        size = torch.rand(count, 2, generator=generator) ** 4 * 0.3
        sides = torch.tensor([width, height, width, height])
        truths.append(
            InstanceData(
                bboxes=torch.cat((corner, corner + size), 1) * sides,
                labels=torch.randint(CLASSES, (count,), generator=generator),
            )
        )
        metas.append({"img_shape": (height, width)})
        scores.append(torch.randn(QUERIES, CLASSES + 1, generator=generator))
        boxes.append(torch.rand(QUERIES, 4, generator=generator) * 0.5 + 0.1)
    return scores, boxes, truths, metas


@pytest.mark.parametrize("counts", [[3, 0, 20, 1], [0, 0], [QUERIES]])
def test_targets_equal_those_of_image_by_image(counts):
    batch = _batch(counts)
    expected = DETRHead(**deepcopy(CONFIG)).get_targets(*batch)
    found = BatchedDETRHead(**deepcopy(CONFIG)).get_targets(*batch)
    for ours, theirs in zip(found[:4], expected[:4]):
        torch.testing.assert_close(torch.cat(ours), torch.cat(theirs))
    assert found[4:] == expected[4:]
    assert found[4] == sum(min(count, QUERIES) for count in counts)


def test_losses_equal_those_of_image_by_image():
    scores, boxes, truths, metas = _batch([3, 0, 5])
    batch = torch.stack(scores), torch.stack(boxes), truths, metas
    expected = DETRHead(**deepcopy(CONFIG)).loss_by_feat_single(*batch)
    found = BatchedDETRHead(**deepcopy(CONFIG)).loss_by_feat_single(*batch)
    torch.testing.assert_close(found, expected)


def test_a_prediction_that_is_not_a_number_is_left_to_the_loss():
    scores, boxes, truths, metas = _batch([3, 2])
    boxes[0][4] = float("nan")
    head = BatchedDETRHead(**deepcopy(CONFIG))
    assert head.get_targets(scores, boxes, truths, metas)[4] == 5
    loss = head.loss_by_feat_single(torch.stack(scores), torch.stack(boxes), truths, metas)
    assert loss[0].isfinite()

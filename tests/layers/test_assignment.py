"""Assignment of predictions to targets against all permutations, plain formulas and peer libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from scipy import optimize
from torchvision.ops import box_iou, generalized_box_iou

from dense3d.layers.assignment import (
    MatchedPairs,
    assign,
    focal_cost,
    iou_and_giou,
    mean_number,
    own_pairs,
)
from dense3d.ops import linear_sum_assignment
from dense3d.registry import TASK_UTILS


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pairs_of(matches: MatchedPairs) -> list[tuple[int, ...]]:
    return list(zip(*(values.tolist() for values in vars(matches).values())))


@pytest.mark.parametrize("groups, copies", [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_blocks_are_solved_as_if_alone_and_padding_is_not_matched(groups, copies):
    counts, queries = [2, 0, 3], 7
    cost = torch.rand(2, 3, groups * queries, 3)
    for image, count in enumerate(counts):
        cost[:, image, :, count:] = -100.0
    expected = []
    for layer, image, group in itertools.product(range(2), range(3), range(groups)):
        rows = cost[layer, image, group * queries : (group + 1) * queries, : counts[image]]
        for query, column in zip(*optimize.linear_sum_assignment(rows.repeat(1, copies))):
            expected.append((layer, image, group * queries + query, column % counts[image]))
    assert pairs_of(assign(cost, counts, groups, copies)) == expected
    assert len(expected) == 2 * 5 * groups * copies


@pytest.mark.parametrize("targets", [3, 6])
def test_the_total_is_the_least_of_all_ways(targets):
    cost = torch.randn(1, 1, 4, targets)
    matches = assign(cost, [targets])
    wide = cost[0, 0] if targets >= 4 else cost[0, 0].t()
    ways = itertools.permutations(range(max(4, targets)), min(4, targets))
    best = min(sum(wide[row, column].item() for row, column in enumerate(way)) for way in ways)
    assert cost[0, 0, matches.query, matches.target].sum().item() == pytest.approx(best, abs=1e-5)


def test_pairs_by_layer_and_among_the_targets_of_the_batch():
    counts = [1, 0, 2]
    matches = assign(torch.rand(2, 3, 4, 2), counts)
    first, second = matches.by_layer(2)
    assert (first.layer.tolist(), second.layer.tolist()) == ([0] * 3, [1] * 3)
    assert sorted(first.among_all(counts).tolist()) == [0, 1, 2]
    assert [len(part.query) for part in assign(torch.rand(2, 1, 4, 0), [0]).by_layer(2)] == [0, 0]


def test_own_pairs_are_the_blocks_on_the_diagonal():
    counts = [2, 0, 3]
    cost = torch.rand(3 * 4, 5)
    blocks = own_pairs(cost, counts)
    assert blocks.shape == (3, 4, 3)
    assert torch.equal(blocks[0, :, :2], cost[:4, :2])
    assert torch.equal(blocks[2], cost[8:, 2:])
    assert own_pairs(torch.zeros(8, 0), [0, 0]).shape == (2, 4, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("maximize", [False, True])
def test_what_is_not_finite_is_matched_last(value, maximize):
    cost = np.random.default_rng(0).normal(size=(5, 3)) * 1e7
    cost[[0, 3]] = value
    rows, columns = linear_sum_assignment(cost, maximize)
    kept, expected = [1, 2, 4], optimize.linear_sum_assignment(cost[[1, 2, 4]], maximize)[1]
    assert (rows.tolist(), columns.tolist()) == (kept, expected.tolist())


def test_a_cost_without_a_finite_number_is_matched_all_the_same():
    matches = assign(torch.full((1, 2, 4, 3), torch.nan), [3, 1])
    assert matches.image.tolist() == [0, 0, 0, 1]
    assert sorted(matches.target[:3].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_costs_of_any_precision(dtype):
    cost = torch.tensor([[3.0, 1.0], [2.0, 4.0]], dtype=dtype)
    assert linear_sum_assignment(cost)[1].tolist() == [1, 0]
    assert assign(cost[None, None], [2]).target.tolist() == [1, 0]


def test_assigners_of_mmdet_and_mmseg_do_not_break_on_nan():
    from mmdet.models.task_modules.assigners import topk_hungarian_assigner
    from mmseg.models.assigners import hungarian_assigner

    assert hungarian_assigner.linear_sum_assignment is linear_sum_assignment
    assert topk_hungarian_assigner.linear_sum_assignment is linear_sum_assignment
    costs = dict(type="mmdet.BBoxL1Cost", weight=1.0)
    assigner = TASK_UTILS.build(dict(type="mmdet.HungarianAssigner", match_costs=[costs]))
    predictions = InstanceData(bboxes=torch.rand(4, 4))
    predictions.bboxes[1] = torch.nan
    targets = InstanceData(bboxes=torch.rand(2, 4), labels=torch.tensor([0, 1]))
    found = assigner.assign(predictions, targets, img_meta=dict(img_shape=(1, 1)))
    assert sorted(found.gt_inds.tolist()) == [0, 0, 1, 2]
    assert found.gt_inds[1] == 0


def test_focal_cost_is_that_of_mmdet():
    from mmdet.models.task_modules.assigners import FocalLossCost

    logits, labels = torch.randn(6, 4), torch.tensor([2, 0])
    peer = FocalLossCost(weight=1.0, eps=1e-8)
    expected = peer(InstanceData(scores=logits), InstanceData(labels=labels))
    torch.testing.assert_close(focal_cost(logits.sigmoid()[:, labels]), expected)


def random_boxes(number: int) -> torch.Tensor:
    corner = torch.rand(number, 2) * 0.5
    return torch.cat((corner, corner + torch.rand(number, 2) * 0.45 + 0.02), dim=-1)


def test_iou_and_giou_of_all_pairs():
    a, b = random_boxes(9), random_boxes(6)
    iou, giou = iou_and_giou(a[:, None], b)
    torch.testing.assert_close(iou, box_iou(a, b))
    torch.testing.assert_close(giou, generalized_box_iou(a, b))


def test_boxes_without_area_have_finite_overlaps():
    point = torch.tensor([[0.5, 0.5, 0.5, 0.5]]).requires_grad_()
    iou, giou = iou_and_giou(point, point)
    (iou + giou).sum().backward()
    assert point.grad.isfinite().all()
    assert (iou.item(), giou.item()) == (0.0, 0.0)


def test_numbers_of_targets_are_at_least_one():
    device = torch.device("cpu")
    assert mean_number([0, 3, 0.5], device).tolist() == [1.0, 3.0, 1.0]
    assert mean_number(7, device).tolist() == 7.0

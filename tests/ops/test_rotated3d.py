"""Upright oriented boxes against shapely, closed forms, gradients and the definition of suppression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from shapely.geometry import MultiPoint, Polygon

from dense3d import ops
from dense3d.ops.dispatch import select_backend
from dense3d.ops.rotated3d import FOOTPRINT, enclosing_rectangle
from dense3d.structures import Boxes3D

FUNCTIONS = [ops.box_iou_3d, ops.box_iou_3d_reference]
BOX = [1.0, 2.0, 0.5, 4.0, 1.6, 1.5, 0.3]


def random_boxes(count: int, seed: int, spread: float = 6.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(count, 7, generator=generator, dtype=torch.float64)
    boxes[:, :3] *= spread
    boxes[:, 3:6] = boxes[:, 3:6] * 4 + 0.3
    boxes[:, 6] = (boxes[:, 6] - 0.5) * 8
    return boxes


def footprints(boxes: torch.Tensor) -> list[Polygon]:
    return [Polygon(corners) for corners in Boxes3D(boxes, "world").footprint_corners().tolist()]


def shapely_overlap(a, b, polygon_a: Polygon, polygon_b: Polygon) -> tuple[float, float]:
    """Common volume and union."""
    height = min(a[2] + a[5] / 2, b[2] + b[5] / 2) - max(a[2] - a[5] / 2, b[2] - b[5] / 2)
    common = polygon_a.intersection(polygon_b).area * max(0.0, height)
    return common, polygon_a.area * a[5] + polygon_b.area * b[5] - common


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_overlaps_are_shapelys(function, mode):
    boxes1, boxes2 = random_boxes(20, 0), random_boxes(25, 1)
    expected = torch.zeros(20, 25, dtype=torch.float64)
    for i, (a, polygon_a) in enumerate(zip(boxes1.tolist(), footprints(boxes1))):
        for j, (b, polygon_b) in enumerate(zip(boxes2.tolist(), footprints(boxes2))):
            common, union = shapely_overlap(a, b, polygon_a, polygon_b)
            expected[i, j] = common / (union if mode == "iou" else polygon_a.area * a[5])
    assert 0.2 < (expected > 0).double().mean() < 0.95
    torch.testing.assert_close(function(boxes1, boxes2, mode), expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(function(boxes1, boxes2[:20], mode, aligned=True), expected[:, :20].diagonal())


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 1.0),
        ({6: 0.3 + math.pi}, 1.0),
        ({6: 0.3 - 2 * math.pi}, 1.0),
        ({3: 1.6, 4: 4.0, 6: 0.3 + math.pi / 2}, 1.0),  # sides swapped and a quarter turn
        ({2: 0.5 + 0.75}, 1 / 3),
        ({2: 0.5 + 1.5}, 0.0),  # stacked
        ({3: 2.0, 4: 0.8, 5: 0.75}, 1 / 8),  # nested
        ({3: 0.0}, 0.0),
        ({5: 0.0}, 0.0),
    ],
)
def test_degenerate_pairs(function, change, expected):
    first, second = torch.tensor([BOX], dtype=torch.float64), torch.tensor([BOX], dtype=torch.float64)
    for column, value in change.items():
        second[0, column] = value
    assert function(first, second).item() == pytest.approx(expected, abs=1e-9)
    assert function(second, first).item() == pytest.approx(expected, abs=1e-9)
    assert function(first.float(), second.float()).item() == pytest.approx(expected, abs=1e-5)


def test_many_parts_and_no_boxes(monkeypatch):
    boxes = random_boxes(30, 2)
    whole = ops.box_iou_3d_reference(boxes, boxes)
    monkeypatch.setattr("dense3d.ops.rotated3d.PAIRS_AT_ONCE", 100)
    assert torch.equal(ops.box_iou_3d_reference(boxes, boxes), whole)
    for function in FUNCTIONS:
        assert function(boxes, boxes[:0]).shape == (30, 0)
        assert function(boxes[:0], boxes).shape == (0, 30)


def test_footprint_overlap_is_that_of_equally_high_boxes():
    boxes1, boxes2 = random_boxes(15, 3), random_boxes(15, 4)
    for boxes in (boxes1, boxes2):
        boxes[:, 2], boxes[:, 5] = 0, 1
    flat = ops.box_iou_rotated(boxes1[:, FOOTPRINT], boxes2[:, FOOTPRINT])
    torch.testing.assert_close(ops.box_iou_3d(boxes1, boxes2), flat)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])
def test_losses_differentiate(kind):
    boxes1, boxes2 = random_boxes(6, 5, spread=3), random_boxes(6, 6, spread=3)
    assert (ops.box_iou_3d(boxes1, boxes2, aligned=True) > 0.01).any()
    boxes1.requires_grad_()
    boxes2.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: ops.box_iou_3d_loss(a, b, kind), (boxes1, boxes2))


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])
@pytest.mark.parametrize("shift", [0.0, 2.0, 50.0])
def test_gradients_are_finite_for_identical_half_overlapping_and_distant_boxes(kind, shift):
    first = torch.tensor([BOX], requires_grad=True)
    second = torch.tensor([BOX]) + torch.tensor([shift * math.cos(0.3), shift * math.sin(0.3), 0, 0, 0, 0, 0])
    ops.box_iou_3d_loss(first, second, kind).sum().backward()
    assert torch.isfinite(first.grad).all()
    if shift == 50 and kind != "iou":
        direction = torch.tensor([math.cos(0.3), math.sin(0.3)])
        assert first.grad[0, :2] @ direction < 0  # falls when the box moves towards the other


def test_descending_the_loss_brings_boxes_together():
    target = torch.tensor([BOX], dtype=torch.float64)
    moving = (target + torch.tensor([[3.0, -1.0, 1.0, 0.5, 0.2, -0.3, 0.4]])).requires_grad_()
    optimizer = torch.optim.Adam([moving], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        ops.box_iou_3d_loss(moving, target, "diou").sum().backward()
        optimizer.step()
    assert ops.box_iou_3d(moving, target).item() > 0.85


def test_generalised_losses_follow_their_equations():
    boxes1, boxes2 = random_boxes(10, 7), random_boxes(10, 8)
    giou, diou = (ops.box_iou_3d_loss(boxes1, boxes2, kind) for kind in ("giou", "diou"))
    pairs = zip(boxes1.tolist(), boxes2.tolist(), footprints(boxes1), footprints(boxes2))
    for i, (a, b, polygon_a, polygon_b) in enumerate(pairs):
        common, union = shapely_overlap(a, b, polygon_a, polygon_b)
        rectangle = MultiPoint([*polygon_a.exterior.coords, *polygon_b.exterior.coords])
        corners = np.array(rectangle.minimum_rotated_rectangle.exterior.coords)
        sides = np.linalg.norm(np.diff(corners, axis=0), axis=1)[:2]
        span = max(a[2] + a[5] / 2, b[2] + b[5] / 2) - min(a[2] - a[5] / 2, b[2] - b[5] / 2)
        volume = sides.prod() * span
        assert giou[i].item() == pytest.approx(1 - common / union + (volume - union) / volume, abs=1e-9)
        distance = sum((a[k] - b[k]) ** 2 for k in range(3))
        diagonal = (sides**2).sum() + span**2
        assert diou[i].item() == pytest.approx(1 - common / union + distance / diagonal, abs=1e-9)


def test_the_enclosing_rectangle_of_one_box_is_itself():
    rectangle = torch.tensor([[3.0, 4.0, 5.0, 2.0, 0.7]])
    sides = enclosing_rectangle(rectangle, rectangle).sort().values
    torch.testing.assert_close(sides, torch.tensor([[2.0, 5.0]]))


@pytest.mark.parametrize("backend", ["numba", "matrix"])
def test_nms_follows_the_definition(backend):
    boxes = random_boxes(100, 9)
    scores = torch.rand(100, generator=torch.Generator().manual_seed(10))
    overlaps = ops.box_iou_3d(boxes, boxes)
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(overlaps[j, i] <= 0.1 for j in kept):
            kept.append(i)
    assert 10 < len(kept) < 90
    implementation = select_backend("nms_3d", "cpu", backend).implementation
    order = scores.argsort(descending=True)
    assert order[implementation(boxes[order], 0.1)].tolist() == kept
    assert ops.nms_3d(boxes, scores, 0.1).tolist() == kept


def test_nms_of_equal_scores_and_of_nothing():
    boxes = torch.tensor([BOX, BOX, BOX], dtype=torch.float64)
    assert ops.nms_3d(boxes, torch.ones(3), 0.5).tolist() == [0]
    assert ops.nms_3d(boxes[:0], torch.ones(0), 0.5).shape == (0,)
    # an overlap of exactly the threshold is kept
    upper = boxes[:1] + torch.tensor([0, 0, 1.5, 0, 0, 0, 0])
    assert ops.nms_3d(torch.cat([boxes[:1], upper]), torch.tensor([1.0, 0.5]), 0.0).tolist() == [0, 1]


def test_wrong_arguments():
    boxes = random_boxes(2, 0)
    with pytest.raises(ValueError, match=r"\(N, 7\), not \(2, 5\)"):
        ops.box_iou_3d(boxes[:, :5], boxes)
    with pytest.raises(ValueError, match="'gioo'"):
        ops.box_iou_3d_loss(boxes, boxes, "gioo")
    with pytest.raises(ValueError, match="'io'"):
        ops.box_iou_3d(boxes, boxes, "io")

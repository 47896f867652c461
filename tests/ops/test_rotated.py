"""Rotated boxes against shapely, closed forms and the torch reference."""

from __future__ import annotations

import math

import pytest
import torch
from shapely import affinity
from shapely.geometry import box as rectangle

from dense3d import ops
from dense3d.ops.dispatch import select_backend


def random_boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, generator=generator) * 20
    size = torch.rand(count, 2, generator=generator) * 12 + 0.2
    angle = (torch.rand(count, 1, generator=generator) - 0.5) * 8
    return torch.cat([centre, size, angle], 1)


def polygon(box: torch.Tensor):
    cx, cy, w, h, angle = box.tolist()
    flat = rectangle(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
    return affinity.rotate(flat, angle, origin=(cx, cy), use_radians=True)


def shapely_overlaps(boxes1: torch.Tensor, boxes2: torch.Tensor, mode: str) -> torch.Tensor:
    rows = []
    for a in map(polygon, boxes1):
        row = []
        for b in map(polygon, boxes2):
            common = a.intersection(b).area
            row.append(common / (a.area if mode == "iof" else a.area + b.area - common))
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize("function", [ops.box_iou_rotated, ops.box_iou_rotated_reference])
@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_overlaps_are_shapelys(function, mode):
    boxes1, boxes2 = random_boxes(25, 0), random_boxes(30, 1)
    expected = shapely_overlaps(boxes1, boxes2, mode)
    assert 0.2 < (expected > 0).float().mean() < 0.95  # the boxes do meet, and not all of them
    torch.testing.assert_close(function(boxes1, boxes2, mode), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("function", [ops.box_iou_rotated, ops.box_iou_rotated_reference])
@pytest.mark.parametrize("angle", [0.0, math.pi / 2, math.pi, 0.3, -2.0])
def test_boxes_that_share_sides_or_corners(function, angle):
    base = torch.tensor([[3.0, 4.0, 4.0, 2.0, 0.0]])
    same, half, touching, inner = base.clone(), base.clone(), base.clone(), base.clone()
    half[0, 0] += 2
    touching[0, 0] += 4
    inner[0, 2:4] /= 2
    others = torch.cat([same, half, touching, inner])
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    for boxes in (base, others):  # turn all of them about the origin
        boxes[:, :2] = boxes[:, :2] @ turn
        boxes[:, 4] = angle
    expected = torch.tensor([[1.0, 1 / 3, 0.0, 0.25]])
    torch.testing.assert_close(function(base, others), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("function", [ops.box_iou_rotated, ops.box_iou_rotated_reference])
def test_octagon_of_two_squares(function):
    squares = torch.tensor([[0.0, 0, 2, 2, 0], [0, 0, 2, 2, math.pi / 4]])
    octagon = 8 * (math.sqrt(2) - 1)
    assert function(squares[:1], squares[1:]).item() == pytest.approx(octagon / (8 - octagon), abs=1e-6)


@pytest.mark.parametrize("function", [ops.box_iou_rotated, ops.box_iou_rotated_reference])
def test_empty_boxes_overlap_nothing(function):
    flat = torch.tensor([[1.0, 1, 0, 3, 0.2], [1, 1, 2, 0, 0], [1, 1, 0, 0, 0]])
    full = torch.tensor([[1.0, 1, 4, 4, 0.1]])
    assert function(flat, full).tolist() == [[0.0], [0.0], [0.0]]
    assert function(full, flat).tolist() == [[0.0, 0.0, 0.0]]
    assert function(flat, flat).abs().max() == 0
    assert function(full[:0], full).shape == (0, 1)
    assert function(full, full[:0]).shape == (1, 0)


@pytest.mark.parametrize("function", [ops.box_iou_rotated, ops.box_iou_rotated_reference])
def test_far_from_the_origin_and_very_different_sizes(function):
    boxes1, boxes2 = random_boxes(20, 2), random_boxes(20, 3)
    boxes2[:10, 2:4] *= 0.01
    expected = function(boxes1, boxes2)
    moved = torch.tensor([4096.0, 8192.0, 0, 0, 0])
    torch.testing.assert_close(function(boxes1 + moved, boxes2 + moved), expected, rtol=2e-3, atol=2e-3)


def test_aligned_and_counter_clockwise():
    boxes1, boxes2 = random_boxes(40, 4), random_boxes(40, 5)
    mirror = torch.tensor([1, 1, 1, 1, -1.0])
    for function in (ops.box_iou_rotated, ops.box_iou_rotated_reference):
        pairs = function(boxes1, boxes2)
        torch.testing.assert_close(function(boxes1, boxes2, aligned=True), pairs.diagonal())
        turned = function(boxes1 * mirror, boxes2 * mirror, clockwise=False)
        torch.testing.assert_close(turned, pairs)


def test_reference_in_several_parts_is_the_same(monkeypatch):
    boxes = random_boxes(30, 6)
    whole = ops.box_iou_rotated_reference(boxes, boxes)
    monkeypatch.setattr("dense3d.ops.rotated.PAIRS_AT_ONCE", 100)
    assert torch.equal(ops.box_iou_rotated_reference(boxes, boxes), whole)


def test_reference_differentiates():
    boxes1 = random_boxes(4, 7).double().requires_grad_()
    boxes2 = random_boxes(4, 8).double().requires_grad_()
    assert (ops.box_iou_rotated(boxes1, boxes2) > 0.01).any()
    assert torch.autograd.gradcheck(ops.box_iou_rotated_reference, (boxes1, boxes2))


@pytest.mark.parametrize("backend", ["numba", "matrix"])
@pytest.mark.parametrize("clockwise", [True, False])
def test_nms_rotated_follows_the_definition(backend, clockwise):
    boxes = random_boxes(120, 9)
    scores = torch.rand(120, generator=torch.Generator().manual_seed(10))
    order = scores.argsort(descending=True)
    overlaps = ops.box_iou_rotated(boxes, boxes, clockwise=clockwise)
    kept: list[int] = []
    for i in order.tolist():
        if all(overlaps[j, i] < 0.2 for j in kept):
            kept.append(i)
    assert 10 < len(kept) < 110
    implementation = select_backend("nms_rotated", "cpu", backend).implementation
    assert order[implementation(boxes[order], 0.2, clockwise)].tolist() == kept
    dets, keep = ops.nms_rotated(boxes, scores, 0.2, clockwise=clockwise)
    assert keep.tolist() == kept
    assert torch.equal(dets, torch.cat([boxes[keep], scores[keep, None]], 1))


def test_nms_of_unrotated_boxes_is_plain_nms():
    boxes = random_boxes(100, 11)
    boxes[:, 4] = 0
    scores = torch.rand(100, generator=torch.Generator().manual_seed(12))
    corners = torch.cat([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], 1)
    assert torch.equal(ops.nms_rotated(boxes, scores, 0.3)[1], ops.nms(corners, scores, 0.3)[1])


def test_nms_rotated_of_nothing():
    dets, keep = ops.nms_rotated(torch.zeros(0, 5), torch.zeros(0), 0.5)
    assert dets.shape == (0, 6)
    assert keep.shape == (0,)

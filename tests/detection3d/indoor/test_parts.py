"""Votes, decoding, overlaps, bins of headings: closed forms, peers, properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dense3d.datasets.pointcloud.cropping import RandomCuboid
from dense3d.detection3d.box_bins import bin_to_heading, heading_to_bin
from dense3d.detection3d.box_decoding import BoxDecoder, hull_overlaps, points_in_each
from dense3d.detection3d.threedetr import generalised_iou
from dense3d.detection3d.votenet import box_votes, instance_votes
from dense3d.detection3d.votenet.criterion import aligned_iou_loss
from dense3d.engine.norm_momentum import NormMomentumHook
from dense3d.ops import box_iou_3d, box_iou_3d_loss
from dense3d.structures import Boxes3D


def some_boxes(number: int, seed: int = 0, turned: bool = True) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    boxes = torch.rand(number, 7, generator=random) * torch.tensor([2, 2, 1, 1.5, 1.5, 1.5, 6.0])
    boxes = boxes + torch.tensor([0, 0, 0, 0.3, 0.3, 0.3, -3])
    return boxes if turned else boxes * torch.tensor([1.0] * 6 + [0.0])


@pytest.mark.parametrize("bins", [1, 2, 12])
def test_bins_of_headings_give_the_heading_back(bins):
    heading = torch.linspace(-9, 9, 1001)
    number, rest = heading_to_bin(heading, bins)
    assert number.min() >= 0 and number.max() < bins
    assert (rest.abs() <= math.pi / bins + 1e-5).all()
    back = bin_to_heading(number, rest, bins)
    if bins == 1:
        assert torch.equal(back, torch.zeros_like(back))
        return
    assert (back <= math.pi + 1e-6).all()
    torch.testing.assert_close(back.cos(), heading.cos(), rtol=0, atol=1e-5)
    torch.testing.assert_close(back.sin(), heading.sin(), rtol=0, atol=1e-5)


def test_points_vote_for_the_boxes_around_them():
    boxes = torch.tensor([[float(i), 0, 0, 10, 10, 10, 0] for i in range(5)] + [[90.0, 0, 0, 1, 1, 1, 0]])
    places, voting = box_votes(torch.tensor([[1.0, 1, 1], [50, 0, 0], [90.2, 0, 0]]), boxes)
    assert voting.tolist() == [True, False, True]
    assert places[0, :, 0].tolist() == [0, 1, 4]  # the first, the second, and the last over the third
    assert places[2, :, 0].tolist() == [90, 90, 90]


def test_instances_vote_for_the_middle_of_their_points():
    points = torch.tensor([[0.0, 0, 0], [4, 2, 0], [1, 1, 0], [7, 7, 7]])
    places, voting = instance_votes(points, torch.tensor([9, 9, 9, -1]), torch.tensor([2, 3]))
    assert places[0].tolist() == [[2.0, 1.0, 0.0]] * 3
    assert voting.tolist() == [True, False]


def test_counts_of_points_are_those_of_a_convex_hull():
    from scipy.spatial import Delaunay

    boxes, points = some_boxes(6), torch.rand(400, 3) * 3 - 0.5
    hulls = [Delaunay(corners.numpy()) for corners in Boxes3D(boxes, "world").corners()]
    assert points_in_each(points, boxes).tolist() == [(h.find_simplex(points) >= 0).sum() for h in hulls]
    mirrored = boxes * torch.tensor([1, 1, 1, -1, 1, -1, 1])  # VoteNet's sizes may be negative
    assert torch.equal(points_in_each(points, mirrored), points_in_each(points, boxes))


def test_hulls_overlap_as_boxes_do_that_are_not_turned():
    boxes = some_boxes(12, turned=False)
    torch.testing.assert_close(hull_overlaps(boxes).float(), box_iou_3d(boxes, boxes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suppression", ["class", "3d", "2d", None])
def test_decoding_is_that_of_a_plain_loop(suppression):
    random = torch.Generator().manual_seed(1)
    boxes = some_boxes(30, seed=2)
    objectness, probabilities = torch.rand(30, generator=random), torch.rand(30, 4, generator=random)
    points = torch.rand(500, 3, generator=random) * 3
    decoder = BoxDecoder(suppression=suppression, entries="objectness")
    labels = probabilities.argmax(dim=1)
    overlaps = hull_overlaps(boxes, flat=suppression == "2d")
    expected: list[int] = []
    for i in objectness.argsort(descending=True).tolist():
        if points_in_each(points, boxes[i : i + 1])[0] < 5:
            continue
        same = [j for j in expected if suppression != "class" or labels[j] == labels[i]]
        if suppression is None or all(overlaps[i, j] <= 0.25 for j in same):
            expected.append(i)
    found = decoder(boxes, objectness, probabilities, points)
    expected = sorted(i for i in expected if objectness[i] > 0.05)
    assert torch.equal(found.boxes, boxes[expected])
    assert torch.equal(found.labels, labels[expected])
    classes = BoxDecoder(suppression=suppression)(boxes, objectness, probabilities, points)
    assert len(classes.boxes) == 4 * len(expected)
    torch.testing.assert_close(classes.scores.view(4, -1), (probabilities * objectness[:, None])[expected].T)


def test_an_empty_box_goes_where_an_unlikely_one_holds_points():
    """As officially: the likeliest stays where all are empty, and only then the least score is asked for."""
    boxes = torch.tensor([[0.0, 0, 0, 1, 1, 1, 0], [9, 0, 0, 1, 1, 1, 0]])
    points = torch.tensor([[9.0, 0, 0]]).repeat(6, 1)  # in the second, of objectness 0.04
    objectness, probabilities = torch.tensor([0.9, 0.04]), torch.ones(2, 1)
    decoder = BoxDecoder(entries="objectness")
    assert len(decoder(boxes, objectness, probabilities, points).boxes) == 0
    assert torch.equal(decoder(boxes, objectness, probabilities, points + 50).boxes, boxes[:1])


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])
def test_overlap_of_aligned_boxes_is_that_of_oriented_ones(kind):
    """The smallest rectangle around two aligned ones may be turned, hence "iou" alone is equal."""
    boxes, others = (some_boxes(20, seed, turned=False) for seed in (1, 2))
    found, peer = aligned_iou_loss(boxes[:, :6], others[:, :6], kind), box_iou_3d_loss(boxes, others, kind)
    if kind == "iou":
        torch.testing.assert_close(found, peer, rtol=1e-4, atol=1e-5)
    same = aligned_iou_loss(boxes[:, :6], boxes[:, :6], kind)
    torch.testing.assert_close(same, torch.zeros(20), rtol=0, atol=1e-5)
    assert (found >= aligned_iou_loss(boxes[:, :6], others[:, :6], "iou") - 1e-6).all()


def test_the_gradient_of_3detr_s_overlap_is_that_of_finite_differences():
    boxes = some_boxes(6, 3).double() * 0.5
    others = (boxes + 0.1 * torch.rand(6, 7, generator=torch.Generator().manual_seed(0))).detach()
    boxes.requires_grad_()
    assert torch.autograd.gradcheck(lambda b: generalised_iou(b, others, True), boxes, atol=1e-3)
    compiled = generalised_iou(boxes.detach(), others, True)
    torch.testing.assert_close(generalised_iou(boxes, others, True).detach(), compiled)


def test_a_cuboid_keeps_points_and_the_boxes_among_them():
    np.random.seed(0)
    points = np.random.rand(5000, 3).astype(np.float32) * [6, 5, 3]
    boxes = np.concatenate([np.random.rand(8, 3) * [6, 5, 3], np.ones((8, 3)), np.zeros((8, 1))], axis=1)
    results = dict(points=points, gt_boxes=boxes, gt_box_labels=np.arange(8))
    found = RandomCuboid(min_points=500).transform(dict(results))
    assert 500 <= len(found["points"]) < 5000
    assert 1 <= len(found["gt_boxes"]) == len(found["gt_box_labels"])
    low, high = found["points"].min(0), found["points"].max(0)
    assert ((found["gt_boxes"][:, :3] >= low) & (found["gt_boxes"][:, :3] <= high)).all()
    numbered = dict(results, instances=np.arange(5000) % 9 - 1)  # -1 .. 7
    np.random.seed(0)
    cut = RandomCuboid(min_points=500).transform(dict(numbered, point_index=np.arange(5000)))
    was, now = numbered["instances"][cut["point_index"]], cut["instances"]
    labels = np.append(cut["gt_box_labels"], -1)  # of no box
    assert (labels[now] == np.where(np.isin(was, cut["gt_box_labels"]), was, -1)).all()
    whole = RandomCuboid(min_points=5001).transform(dict(results))
    assert whole["points"] is points and len(whole["gt_boxes"]) == 8


def test_momentum_of_norms_follows_from_the_epoch():
    hook = NormMomentumHook()
    assert [round(hook.momentum(epoch), 6) for epoch in (0, 20, 40, 179, 1000)] == [
        0.5, 0.25, 0.125, 0.001953, 0.001,
    ]  # fmt: skip

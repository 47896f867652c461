"""Suppression of axis-aligned boxes against torchvision, a plain double loop, and properties."""

from __future__ import annotations

import pytest
import torch
import torchvision

from dense3d import ops


def random_boxes(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 60
    size = torch.rand(count, 2, generator=generator) * 30 + 1
    return torch.cat([corner, corner + size], 1), torch.rand(count, generator=generator)


def iou(a: list[float], b: list[float], offset: float = 0) -> float:
    """By the definition, in double precision."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    common = max(width, 0) * max(height, 0)
    area = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return common / (sum(area) - common)


def test_nms_is_torchvisions():
    boxes, scores = random_boxes(300)
    dets, keep = ops.nms(boxes, scores, 0.4)
    assert torch.equal(keep, torchvision.ops.nms(boxes, scores, 0.4))
    assert torch.equal(dets, torch.cat([boxes[keep], scores[keep, None]], 1))


@pytest.mark.parametrize("offset", [0, 1])
def test_nms_follows_the_definition_with_both_offsets(offset):
    boxes, scores = random_boxes(80, seed=1)
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i].tolist(), boxes[j].tolist(), offset) <= 0.3 for j in kept):
            kept.append(i)
    assert ops.nms(boxes, scores, 0.3, offset=offset)[1].tolist() == kept


def test_nms_keeps_a_box_whose_overlap_equals_the_threshold():
    boxes = torch.tensor([[0.0, 0, 5, 2], [0.0, 0, 2, 2]])  # IoU 2 / 5, not representable in binary
    assert len(ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.4)[1]) == 2


def test_nms_score_threshold_and_max_num():
    boxes, scores = random_boxes(100)
    everything = ops.nms(boxes, scores, 0.9)[1]
    dets, keep = ops.nms(boxes, scores, 0.9, score_threshold=0.5, max_num=7)
    assert torch.equal(keep, everything[scores[everything] > 0.5][:7])
    assert (dets[:, 4] > 0.5).all()


def test_soft_nms_without_overlap_changes_nothing_but_the_order():
    boxes = torch.tensor([[0.0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]])
    scores = torch.tensor([0.2, 0.9, 0.5])
    for method in ("linear", "gaussian", "naive"):
        dets, keep = ops.soft_nms(boxes, scores, method=method)
        assert keep.tolist() == [1, 2, 0]
        assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[keep])


@pytest.mark.parametrize("method", ["linear", "gaussian", "naive"])
@pytest.mark.parametrize("offset", [0, 1])
def test_soft_nms_follows_the_definition(method, offset):
    boxes, scores = random_boxes(60, seed=2)
    left = dict(enumerate(scores.double().tolist()))
    kept, lowered = [], []
    while left:
        best = max(left, key=left.get)
        kept.append(best)
        lowered.append(left.pop(best))
        for j in list(left):
            overlap = iou(boxes[best].tolist(), boxes[j].tolist(), offset)
            decay = {
                "linear": 1 - overlap if overlap >= 0.3 else 1,
                "naive": 0 if overlap >= 0.3 else 1,
                "gaussian": torch.tensor(-(overlap**2) / 0.4).exp().item(),
            }[method]
            left[j] *= decay
            if left[j] < 0.05:
                del left[j]
    dets, keep = ops.soft_nms(boxes, scores, 0.3, 0.4, 0.05, method, offset)
    assert keep.tolist() == kept
    torch.testing.assert_close(dets[:, 4], torch.tensor(lowered), rtol=1e-5, atol=1e-6)


def test_naive_soft_nms_is_nms():
    boxes, scores = random_boxes(200, seed=3)
    assert torch.equal(ops.soft_nms(boxes, scores, 0.5, method="naive")[1], ops.nms(boxes, scores, 0.5)[1])


def test_nms_match_groups_partition_the_boxes():
    boxes, scores = random_boxes(150, seed=4)
    groups = ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.3)
    assert sorted(torch.cat(groups).tolist()) == list(range(150))
    assert [group[0].item() for group in groups] == ops.nms(boxes, scores, 0.3)[1].tolist()
    for group in groups:
        assert (scores[group].diff() <= 0).all()
        assert all(iou(boxes[group[0]].tolist(), boxes[j].tolist()) >= 0.3 for j in group[1:])


def test_batched_nms_is_torchvisions_and_splitting_changes_nothing():
    boxes, scores = random_boxes(200, seed=5)
    classes = torch.arange(200) % 4
    dets, keep = ops.batched_nms(boxes, scores, classes, {"type": "nms", "iou_threshold": 0.4})
    assert torch.equal(keep, torchvision.ops.batched_nms(boxes, scores, classes, 0.4))
    split_dets, split_keep = ops.batched_nms(boxes, scores, classes, {"iou_threshold": 0.4, "split_thr": 10})
    assert torch.equal(split_keep, keep)
    assert torch.equal(split_dets, dets)


def test_batched_nms_class_agnostic_and_without_suppression():
    boxes, scores = random_boxes(50, seed=6)
    classes = torch.arange(50) % 4
    agnostic = ops.batched_nms(boxes, scores, classes, {"iou_threshold": 0.4}, class_agnostic=True)
    assert torch.equal(agnostic[1], ops.nms(boxes, scores, 0.4)[1])
    dets, keep = ops.batched_nms(boxes, scores, classes, None)
    assert torch.equal(keep, scores.argsort(descending=True))
    assert torch.equal(dets[:, 4], scores[keep])


def test_batched_nms_of_rotated_boxes_separates_classes():
    box = torch.tensor([[10.0, 10, 8, 4, 0.3]]).repeat(4, 1)
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 1])
    dets, keep = ops.batched_nms(box, scores, classes, {"type": "nms_rotated", "iou_threshold": 0.1})
    assert keep.tolist() == [0, 1]
    assert torch.equal(dets[:, :5], box[:2])


def test_empty_input():
    boxes, scores = torch.zeros(0, 4), torch.zeros(0)
    assert ops.nms(boxes, scores, 0.5)[0].shape == (0, 5)
    assert ops.soft_nms(boxes, scores)[0].shape == (0, 5)
    assert ops.batched_nms(boxes, scores, torch.zeros(0), {"iou_threshold": 0.5})[0].shape == (0, 5)
    assert ops.nms_match(torch.zeros(0, 5), 0.5) == []


def test_unknown_methods_are_named():
    boxes, scores = random_boxes(2)
    with pytest.raises(ValueError, match="'cubic'"):
        ops.soft_nms(boxes, scores, method="cubic")
    with pytest.raises(ValueError, match="'fast'"):
        ops.batched_nms(boxes, scores, scores, {"type": "fast"})


@pytest.mark.parametrize("offset", [0, 1])
def test_bbox_overlaps_follows_the_definition(offset):
    boxes, _ = random_boxes(12, seed=7)
    overlaps = ops.bbox_overlaps(boxes, boxes[:5], offset=offset)
    expected = [[iou(a.tolist(), b.tolist(), offset) for b in boxes[:5]] for a in boxes]
    torch.testing.assert_close(overlaps, torch.tensor(expected))
    aligned = ops.bbox_overlaps(boxes[:5], boxes[2:7], aligned=True, offset=offset)
    torch.testing.assert_close(aligned, ops.bbox_overlaps(boxes[:5], boxes[2:7], offset=offset).diagonal())


def test_bbox_overlaps_over_the_first_area():
    first, second = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 5, 2]])
    assert ops.bbox_overlaps(first, second, "iof").item() == 0.5
    assert ops.bbox_overlaps(second, first, "iof").item() == 0.25
    with pytest.raises(ValueError, match="'giou'"):
        ops.bbox_overlaps(first, second, "giou")


def test_line_nms_drops_near_parallel_lines():
    lines = torch.zeros(4, 5 + 72)
    lines[:, 4] = 72
    lines[:, 5:] = torch.tensor([100.0, 104.0, 300.0, 100.0])[:, None]
    lines[3, 2], lines[3, 4] = 0.5, 10  # same place, but only over a few heights
    scores = torch.tensor([0.6, 0.9, 0.5, 0.4])
    keep, parents = ops.line_nms(lines, scores, 10.0, 10)
    assert keep.tolist() == [1, 2]
    assert parents.tolist() == [1, 1, 2, 1]
    keep, parents = ops.line_nms(lines, scores, 1.0, 2)
    assert keep.tolist() == [1, 0]  # top_k
    assert parents.tolist() == [2, 1, 0, 2]

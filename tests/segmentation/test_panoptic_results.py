"""Panoptic, instance and semantic results of both mask transformers."""

from __future__ import annotations

import pytest
import torch

from dense3d.segmentation import PanopticMap, mask_boxes, top_instances
from dense3d.segmentation.kmax_deeplab import KMaXPostProcess
from dense3d.segmentation.mask2former import Mask2FormerPostProcess

THINGS = {0, 1}
SYSTEMS = (KMaXPostProcess, Mask2FormerPostProcess)


def logits_of(*pairs: tuple[int, float], num_classes: int = 4) -> torch.Tensor:
    """Class logits whose softmax gives class c the probability p; the rest goes to void."""
    rows = torch.full((len(pairs), num_classes + 1), 1e-6)
    for row, (label, probability) in zip(rows, pairs):
        row[label], row[-1] = probability, max(1 - probability, 1e-6)
    return rows.log()


def masks_of(*regions: slice, width: int = 10, high: float = 9.0) -> torch.Tensor:
    masks = torch.full((len(regions), 1, width), -high)
    for mask, region in zip(masks, regions):
        mask[0, region] = high
    return masks


def test_stuff_of_one_class_is_merged_and_things_are_not():
    logits = logits_of((0, 0.9), (0, 0.9), (2, 0.9), (2, 0.8))
    masks = masks_of(slice(0, 2), slice(2, 4), slice(4, 6), slice(8, 10))
    for result in (
        KMaXPostProcess().panoptic(logits, masks, THINGS),
        Mask2FormerPostProcess(score_threshold=0.7).panoptic(logits, masks, THINGS),
    ):
        assert sorted((s.category, s.isthing) for s in result.segments) == [(0, True), (0, True), (2, False)]
        stuff = next(s.id for s in result.segments if s.category == 2)
        assert (result.ids[0] == stuff).nonzero().flatten().tolist() == [4, 5, 8, 9]


def test_kmax_gives_shared_pixels_to_the_more_certain_query():
    logits, masks = logits_of((0, 0.75), (1, 0.95)), torch.full((2, 1, 10), -9.0)
    masks[0, 0, :6], masks[1, 0, 5:] = 9.0, 9.2  # pixel 5: 45 % and 55 %
    result = KMaXPostProcess().panoptic(logits, masks, THINGS)
    assert [s.category for s in result.segments] == [1, 0]
    assert result.ids[0].tolist() == [2] * 5 + [1] * 5


def test_kmax_drops_masks_that_are_mostly_taken():
    logits, masks = logits_of((0, 0.75), (1, 0.95), (2, 0.1)), torch.full((3, 1, 10), -9.0)
    masks[0, 0, 4:7], masks[1, 0, 5:] = 9.0, 9.2  # one of three pixels is free: not more than 0.8
    masks[2, 0, :4] = 9.0
    result = KMaXPostProcess().panoptic(logits, masks, THINGS)
    assert [s.category for s in result.segments] == [1]
    assert (result.ids[0, :5] == 0).all()


def test_kmax_thresholds_of_things_and_stuff_differ():
    logits, masks = logits_of((0, 0.6), (2, 0.6)), masks_of(slice(0, 5), slice(5, 10))
    result = KMaXPostProcess().panoptic(logits, masks, THINGS)
    assert [s.category for s in result.segments] == [2]


def test_kmax_ignores_void_in_the_choice_of_the_class_and_mask2former_does_not():
    logits, masks = logits_of((2, 0.45)), masks_of(slice(0, 10))
    masks = torch.cat((masks, -masks))
    logits = torch.cat((logits, logits_of((0, 0.01))))
    assert len(KMaXPostProcess(stuff_threshold=0.4).panoptic(logits, masks, THINGS).segments) == 1
    assert Mask2FormerPostProcess(score_threshold=0.4).panoptic(logits, masks, THINGS).segments == []


def test_mask2former_drops_queries_that_win_little():
    logits = logits_of((0, 0.99), (1, 0.9))
    masks = torch.full((2, 1, 10), -9.0)
    masks[0, 0, :8], masks[1, 0, :10] = 9.0, 5.0
    result = Mask2FormerPostProcess().panoptic(logits, masks, THINGS)
    assert [s.category for s in result.segments] == [0]


@pytest.mark.parametrize("post_process", SYSTEMS)
def test_nothing_certain_is_all_void(post_process):
    result = post_process().panoptic(logits_of((0, 0.1)), torch.zeros(1, 3, 4), THINGS)
    assert result.segments == [] and (result.ids == 0).all()


def test_coding_of_mmdet():
    result = PanopticMap((1, 4), {0})
    for column, label in enumerate((0, 3, 0)):
        result.add(label, torch.arange(4)[None] == column)
    assert result.encoded(num_classes=5).sem_seg.tolist() == [[[1000, 3, 3000, 5]]]


def test_instances_may_repeat_a_query_and_keep_wanted_classes():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 9.0]])
    shares = torch.stack((torch.full((2, 3), 0.8), torch.full((2, 3), 0.1)))
    found = top_instances(logits, shares, shares > 0.5, 3)
    assert found.labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(found.scores, logits[0].softmax(-1)[:3] * 0.8)
    assert found.bboxes.tolist() == [[0, 0, 3, 2]] * 3
    assert top_instances(logits, shares, shares > 0.5, 3, classes={1}).labels.tolist() == [1]


def test_boxes_around_masks():
    masks = torch.zeros(2, 5, 6, dtype=torch.bool)
    masks[0, 1:3, 2:5] = True
    assert mask_boxes(masks).tolist() == [[2, 1, 5, 3], [0, 0, 0, 0]]


def test_semantic_scores_weigh_masks_by_classes():
    logits, masks = logits_of((0, 0.9), (2, 0.9)), masks_of(slice(0, 5), slice(5, 10))
    for post_process in SYSTEMS:
        scores = post_process().semantic(logits, masks)
        assert scores.argmax(0).tolist() == [[0] * 5 + [2] * 5]


def test_padding_does_not_reach_the_result():
    masks = torch.full((1, 8, 8), -9.0)
    masks[:, :4, :6] = 9.0  # the image; below and beside it lies padding
    for post_process in SYSTEMS:
        shown = post_process().masks_of_image(masks, (32, 32), (16, 24), (8, 12))
        assert shown.shape == (1, 8, 12) and (shown[:, :7, :11] > 0).all()

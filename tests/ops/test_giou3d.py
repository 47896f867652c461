"""Generalised overlap with an axis-aligned enclosing box."""

import pytest
import torch

from dense3d import ops


def _boxes(seed, count):
    random = torch.Generator().manual_seed(seed)
    boxes = torch.randn(count, 7, generator=random, dtype=torch.float64)
    boxes[:, 3:6] = 0.5 + torch.rand(count, 3, generator=random, dtype=torch.float64)
    return boxes


def test_closed_form_of_axis_aligned_boxes():
    box = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0]])
    others = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0], [1.0, 0, 0, 2, 2, 2, 0], [0.0, 3, 0, 2, 2, 2, 0]])
    # the same; a third in common, hull filled; apart, 16 of 20 filled
    torch.testing.assert_close(ops.box_giou_3d(box, others), torch.tensor([[1.0, 1 / 3, -0.2]]))


@pytest.mark.parametrize("diagonal_rule", [False, True])
def test_gradients_and_both_paths(diagonal_rule):
    boxes1, boxes2 = _boxes(0, 3), _boxes(1, 4)
    plain = ops.box_giou_3d(boxes1, boxes2, diagonal_rule)
    boxes1.requires_grad_()
    torch.testing.assert_close(ops.box_giou_3d(boxes1, boxes2, diagonal_rule), plain)
    assert torch.autograd.gradcheck(lambda a: ops.box_giou_3d(a, boxes2, diagonal_rule), boxes1)


def test_the_enclosing_box_does_not_turn():
    turned = torch.tensor([[0.0, 0, 0, 1, 1, 1, torch.pi / 4]])
    assert ops.box_giou_3d(turned, turned).item() == pytest.approx(1 - (1 - 1 / 2), abs=1e-6)


def test_boxes_without_volume_give_zero():
    flat = torch.tensor([[0.0, 0, 0, 1, 1, 0, 0]])
    assert ops.box_giou_3d(flat, flat).item() == 0
    assert ops.box_giou_3d(flat[:0], flat).shape == (0, 1)
    with pytest.raises(ValueError, match=r"\(N, 7\)"):
        ops.box_giou_3d(flat[:, :6], flat)

"""Upsampling, masked convolution, spatial attention, point sampling and points in boxes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from dense3d import ops


def randn(*shape: int, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def test_carafe_follows_the_definition():
    kernel, groups, scale = 3, 2, 2
    x, masks = randn(2, 4, 3, 5), randn(2, groups * kernel**2, 6, 10)
    y = ops.carafe(x, masks, kernel, groups, scale)
    padded = F.pad(x, (1, 1, 1, 1))
    for channel in range(4):
        group = channel // 2
        for row in range(6):
            for column in range(10):
                patch = padded[:, channel, row // 2 : row // 2 + 3, column // 2 : column // 2 + 3].flatten(1)
                weights = masks[:, group * 9 : group * 9 + 9, row, column]
                torch.testing.assert_close(y[:, channel, row, column], (patch * weights).sum(1))


def test_carafe_with_one_weight_in_the_middle_is_nearest_upsampling():
    x, masks = randn(1, 6, 4, 4), torch.zeros(1, 25, 12, 12)
    masks[:, 12] = 1
    assert torch.equal(ops.carafe(x, masks, 5, 1, 3), F.interpolate(x, scale_factor=3))


def test_carafe_differentiates_and_names_wrong_masks():
    x = randn(1, 4, 3, 2, dtype=torch.float64).requires_grad_()
    masks = randn(1, 18, 6, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, masks: ops.carafe(x, masks, 3, 2, 2), (x, masks))
    with pytest.raises(ValueError, match=r"masks must be \(1, 9, 6, 4\)"):
        ops.carafe(x, masks, 3, 1, 2)


def test_masked_conv_is_a_convolution_times_the_mask():
    x, weight, bias = randn(2, 3, 6, 7), randn(4, 3, 3, 5), randn(4)
    mask = (randn(2, 6, 7) > 0).float()
    y = ops.masked_conv2d(x, mask, weight, bias, padding=(1, 2))
    expected = F.conv2d(x, weight, bias, padding=(1, 2)) * mask[:, None]
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    assert ops.masked_conv2d(x, torch.zeros(2, 6, 7), weight, bias, (1, 2)).abs().sum() == 0


def test_masked_conv_differentiates_and_names_wrong_padding():
    tensors = [randn(1, 2, 4, 4, dtype=torch.float64), randn(2, 2, 3, 3, dtype=torch.float64)]
    tensors = [t.requires_grad_() for t in [*tensors, randn(2, dtype=torch.float64)]]
    mask = torch.eye(4)[None]
    assert torch.autograd.gradcheck(lambda x, w, b: ops.masked_conv2d(x, mask, w, b, 1), tensors)
    with pytest.raises(ValueError, match=r"padding \(0, 0\)"):
        ops.masked_conv2d(tensors[0], mask, tensors[1])


@pytest.mark.parametrize("mask_size", [(3, 5), (7, 9), (1, 1)])
def test_psa_mask_follows_the_definition(mask_size):
    (mask_h, mask_w), (height, width) = mask_size, (4, 3)
    x = randn(2, mask_h * mask_w, height, width)
    collect, distribute = torch.zeros(2, 12, 4, 3), torch.zeros(2, 12, 4, 3)
    for row in range(height):
        for column in range(width):
            for down in range(mask_h):
                for right in range(mask_w):
                    other_row, other_column = row + down - mask_h // 2, column + right - mask_w // 2
                    if 0 <= other_row < height and 0 <= other_column < width:
                        value = x[:, down * mask_w + right, row, column]
                        collect[:, other_row * width + other_column, row, column] = value
                        distribute[:, row * width + column, other_row, other_column] = value
    assert torch.equal(ops.psa_mask(x, "collect", mask_size), collect)
    assert torch.equal(ops.psa_mask(x, "distribute", mask_size), distribute)


def test_psa_mask_differentiates_and_names_what_is_wrong():
    x = randn(1, 9, 2, 3, dtype=torch.float64).requires_grad_()
    for psa_type in ("collect", "distribute"):
        assert torch.autograd.gradcheck(lambda x, t=psa_type: ops.psa_mask(x, t, (3, 3)), (x,))
    with pytest.raises(ValueError, match="'spread'"):
        ops.psa_mask(x, "spread", (3, 3))
    with pytest.raises(ValueError, match="9 channels"):
        ops.psa_mask(x, "collect", (3, 5))


def test_point_sample_reads_a_linear_ramp_exactly():
    height, width = 5, 8
    ys, xs = torch.meshgrid(torch.arange(5.0), torch.arange(8.0), indexing="ij")
    ramp = torch.stack([xs, ys])[None]  # value = position in pixels
    points = 0.2 + 0.6 * torch.rand(1, 20, 2, generator=torch.Generator().manual_seed(0))
    sampled = ops.point_sample(ramp, points)  # (1, 2, 20)
    expected = (points * torch.tensor([width, height]) - 0.5).transpose(1, 2)
    torch.testing.assert_close(sampled, expected, rtol=1e-4, atol=1e-4)
    grid = points.view(1, 4, 5, 2)
    assert torch.equal(ops.point_sample(ramp, grid), sampled.view(1, 2, 4, 5))
    corner = ops.point_sample(ramp, torch.ones(1, 1, 2), align_corners=True)
    assert corner.flatten().tolist() == [7, 4]


def test_point_sample_differentiates():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=generator).requires_grad_()
    points = torch.rand(1, 6, 2, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(ops.point_sample, (x, points))


def test_points_in_boxes_by_the_definition():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 300, 3, generator=generator) * 8 - 4
    boxes = torch.rand(2, 5, 7, generator=generator) * torch.tensor([6, 6, 3, 5, 5, 5, 6.0]) - torch.tensor(
        [3, 3, 3, -0.5, -0.5, -0.5, 3]
    )
    inside = ops.points_in_boxes_all(points, boxes)
    assert 0.02 < inside.float().mean() < 0.5
    for b in range(2):
        for t, (x, y, z, length, width, height, yaw) in enumerate(boxes[b].tolist()):
            for m in range(0, 300, 7):
                px, py, pz = (points[b, m] - torch.tensor([x, y, z])).tolist()
                along = px * math.cos(yaw) + py * math.sin(yaw)
                across = -px * math.sin(yaw) + py * math.cos(yaw)
                expected = abs(along) < length / 2 and abs(across) < width / 2 and 0 <= pz <= height
                assert inside[b, m, t].item() == expected


def test_points_in_boxes_first_box_and_parts(monkeypatch):
    boxes = torch.tensor([[[0.0, 0, 0, 2, 2, 2, 0], [0.5, 0, 0, 2, 2, 2, 0]]])
    points = torch.tensor([[[0.0, 0, 1], [1.2, 0, 1], [5, 5, 5], [0, 0, 2], [0, 0, 2.1], [-1, 0, 1]]])
    inside = ops.points_in_boxes_all(points, boxes)
    assert inside[0].tolist() == [[1, 1], [0, 1], [0, 0], [1, 1], [0, 0], [0, 0]]
    assert ops.points_in_boxes_part(points, boxes).tolist() == [[0, 1, -1, 0, -1, -1]]
    assert ops.points_in_boxes_part(points, boxes[:, :0]).tolist() == [[-1] * 6]
    monkeypatch.setattr("dense3d.ops.boxes3d.PAIRS_AT_ONCE", 4)
    assert torch.equal(ops.points_in_boxes_all(points, boxes), inside)
    with pytest.raises(ValueError, match=r"not \(1, 6, 2\)"):
        ops.points_in_boxes_all(points[..., :2], boxes)

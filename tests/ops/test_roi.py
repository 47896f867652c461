"""Pooling of regions against torchvision, ``grid_sample``, a plain loop and gradcheck."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision

from dense3d import ops

ROIS = torch.tensor(
    [
        [0, 4.0, 3.0, 41.0, 30.0],
        [1, 0.0, 0.0, 60.0, 44.0],
        [0, -9.0, -6.0, 20.0, 15.0],  # beyond the upper left corner
        [1, 50.0, 35.0, 90.0, 80.0],  # beyond the lower right one
        [0, 20.0, 20.0, 20.4, 20.3],  # smaller than a pixel
        [1, 200.0, 200.0, 240.0, 220.0],  # outside altogether
    ]
)


def features(dtype=torch.float32, channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, 12, 16, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
def test_roi_align_and_its_reference_are_torchvisions(aligned, sampling_ratio):
    results = []
    for function in (ops.roi_align, ops.roi_align_reference, torchvision.ops.roi_align):
        x = features().requires_grad_()
        arguments = {"spatial_scale": 0.25, "sampling_ratio": sampling_ratio, "aligned": aligned}
        y = function(x, ROIS, (5, 4), **arguments)
        weight = torch.arange(y.numel()).view_as(y) / y.numel()
        results.append((y, torch.autograd.grad(y, x, weight)[0]))
    for result in results[:2]:
        torch.testing.assert_close(result, results[2], rtol=1e-4, atol=1e-5)


def test_roi_align_maximum_of_samples():
    x = features()
    fine = ops.roi_align(x, ROIS, (4, 6), 0.25, 1)  # one sample per bin
    pooled = ops.roi_align(x, ROIS, (2, 3), 0.25, 2, pool_mode="max")
    torch.testing.assert_close(pooled, F.max_pool2d(fine, 2))
    with pytest.raises(ValueError, match="'median'"):
        ops.roi_align(x, ROIS, 2, pool_mode="median")


def test_roi_align_differentiates():
    x = features(torch.float64, channels=1).requires_grad_()
    for mode in ("avg", "max"):
        assert torch.autograd.gradcheck(
            lambda x, mode=mode: ops.roi_align_reference(x, ROIS.double(), 3, 0.25, 2, mode), (x,)
        )


def test_roi_align_of_half_precision_computes_coordinates_in_float32():
    x = features()
    rois = torch.tensor([[0.0, 1000.4, 1000.4, 1100.4, 1080.4]])  # halves are 0.5 apart there
    y = ops.roi_align(x.half(), rois, 3, 0.01, 2)
    assert y.dtype == torch.float16
    torch.testing.assert_close(y.float(), ops.roi_align(x, rois, 3, 0.01, 2), rtol=1e-3, atol=1e-3)


def test_no_regions():
    x, none = features(), torch.zeros(0, 5)
    for y in (
        ops.roi_align(x, none, (2, 3)),
        ops.roi_align_reference(x, none, (2, 3)),
        ops.roi_align_rotated(x, torch.zeros(0, 6), (2, 3)),
        ops.roi_pool(x, none, (2, 3)),
        ops.deform_roi_pool(x, none, None, (2, 3)),
    ):
        assert y.shape == (0, 3, 2, 3)


def as_rotated(rois: torch.Tensor, angle: float) -> torch.Tensor:
    centre, size = (rois[:, 1:3] + rois[:, 3:]) / 2, rois[:, 3:] - rois[:, 1:3]
    return torch.cat([rois[:, :1], centre, size, torch.full((len(rois), 1), angle)], 1)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_rotated_by_nothing_is_roi_align(aligned, sampling_ratio):
    rois = ROIS[[0, 1, 2, 3, 5]]  # the older rule widens tiny regions about another point
    x = features()
    y = ops.roi_align_rotated(x, as_rotated(rois, 0.0), (5, 4), 0.25, sampling_ratio, aligned)
    expected = ops.roi_align(x, rois, (5, 4), 0.25, sampling_ratio, aligned=aligned)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)


def test_roi_align_rotated_samples_along_the_turned_axes():
    x = features()
    angle, centre, size = 0.6, torch.tensor([7.3, 5.6]), torch.tensor([5.0, 3.0])
    roi = torch.tensor([[1.0, *centre, *size, angle]])
    y = ops.roi_align_rotated(x, roi, (3, 5), 1.0, 1, aligned=True, clockwise=True)
    u = (torch.arange(5) + 0.5) / 5 - 0.5
    v = (torch.arange(3) + 0.5) / 3 - 0.5
    across = u[None, :] * size[0]
    down = v[:, None] * size[1]
    xs = centre[0] - 0.5 + across * math.cos(angle) - down * math.sin(angle)
    ys = centre[1] - 0.5 + across * math.sin(angle) + down * math.cos(angle)
    grid = torch.stack([2 * xs / 15 - 1, 2 * ys / 11 - 1], -1)
    torch.testing.assert_close(y, F.grid_sample(x[1:], grid[None], align_corners=True))
    mirrored = roi * torch.tensor([1, 1, 1, 1, 1, -1])
    other = ops.roi_align_rotated(x, mirrored, (3, 5), 1.0, 1, aligned=True, clockwise=False)
    assert torch.equal(other, y)


def test_roi_align_rotated_differentiates():
    x = features(torch.float64, channels=1).requires_grad_()
    rois = as_rotated(ROIS, 0.7).double()
    assert torch.autograd.gradcheck(lambda x: ops.roi_align_rotated(x, rois, (2, 3), 0.25), (x,))


def test_pooling_in_parts_is_the_same(monkeypatch):
    x, rois = features(), as_rotated(ROIS, 0.7)
    whole = ops.roi_align_rotated(x, rois, (4, 5), 0.25)
    monkeypatch.setattr("dense3d.ops.roi.CORNERS_AT_ONCE", 100)
    torch.testing.assert_close(ops.roi_align_rotated(x, rois, (4, 5), 0.25), whole)


def test_roi_pool_is_the_maximum_of_the_touched_pixels():
    x, scale, rows, columns = features(), 0.25, 4, 3
    y = ops.roi_pool(x, ROIS, (rows, columns), scale)
    for k, roi in enumerate(ROIS.tolist()):
        x1, y1 = roi[1] * scale, roi[2] * scale
        width, height = (roi[3] + 1) * scale - x1, (roi[4] + 1) * scale - y1
        for row in range(rows):
            for column in range(columns):
                top, bottom = y1 + row * height / rows, y1 + (row + 1) * height / rows
                left, right = x1 + column * width / columns, x1 + (column + 1) * width / columns
                inside = x[
                    int(roi[0]),
                    :,
                    min(max(math.floor(top), 0), 12) : min(max(math.ceil(bottom), 0), 12),
                    min(max(math.floor(left), 0), 16) : min(max(math.ceil(right), 0), 16),
                ]
                expected = inside.amax((1, 2)) if inside.numel() else torch.zeros(3)
                assert torch.equal(y[k, :, row, column], expected)


def test_roi_pool_differentiates():
    x = features(torch.float64, channels=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.roi_pool(x, ROIS.double(), 3, 0.25), (x,))


def test_roi_pool_ignores_an_inverted_region():
    x = features().abs().requires_grad_()
    y = ops.roi_pool(x, torch.tensor([[0.0, 30.0, 30.0, 20.0, 10.0]]), 2, 0.25)
    assert y.abs().sum() == 0
    assert torch.autograd.grad(y.sum(), x)[0].abs().sum() == 0


def test_deform_roi_pool_without_offset_is_aligned_roi_align():
    x, none = features(), torch.zeros(6, 2, 3, 4)
    expected = ops.roi_align(x, ROIS, (3, 4), 0.25, 2)
    torch.testing.assert_close(ops.deform_roi_pool(x, ROIS, None, (3, 4), 0.25, 2), expected)
    torch.testing.assert_close(ops.deform_roi_pool(x, ROIS, none, (3, 4), 0.25, 2), expected)


def test_deform_roi_pool_moves_bins_by_a_part_of_the_region():
    x, rois = features(), ROIS[:1]
    offset = torch.zeros(1, 2, 3, 4)
    offset[:, 0], offset[:, 1] = 0.5, -0.25
    size = rois[:, 3:] - rois[:, 1:3]
    moved = rois.clone()
    moved[:, 1:3] += 0.1 * size * torch.tensor([0.5, -0.25])
    moved[:, 3:] += 0.1 * size * torch.tensor([0.5, -0.25])
    y = ops.deform_roi_pool(x, rois, offset, (3, 4), 0.25, 2, gamma=0.1)
    torch.testing.assert_close(y, ops.roi_align(x, moved, (3, 4), 0.25, 2), rtol=1e-4, atol=1e-5)


def test_deform_roi_pool_differentiates_in_features_and_offsets():
    generator = torch.Generator().manual_seed(1)
    x = features(torch.float64, channels=2).requires_grad_()
    offset = torch.randn(6, 2, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    rois = ROIS.double() + 0.013
    assert torch.autograd.gradcheck(
        lambda x, offset: ops.deform_roi_pool(x, rois, offset, (2, 3), 0.25, 2), (x, offset)
    )


def test_results_are_contiguous_as_heads_expect():
    x, rotated = features(), as_rotated(ROIS, 0.3)
    for y in (
        ops.roi_align(x, ROIS, 3),
        ops.roi_align_reference(x, ROIS, 3),
        ops.roi_align_rotated(x, rotated, 3),
        ops.roi_pool(x, ROIS, 3),
        ops.deform_roi_pool(x, ROIS, None, 3),
    ):
        assert y.is_contiguous()

"""Depth bins, positions, and the three estimates of depth against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.detection3d.monodino_detr.depth import (
    Camera,
    DepthPredictor,
    bin_index,
    bin_values,
    fused_depth,
    geometric_depth,
    map_depth,
    regressed_depth,
)
from dense3d.layers.sine_position import box_position, map_position
from dense3d.registry import MODELS


@pytest.mark.parametrize("bins", [(80, 1e-3, 60.0), (160, 1e-3, 120.0), (7, 2.0, 30.0)])
def test_bins_widen_linearly_and_fill_the_range(bins):
    edges = bin_values(*bins).double()
    number, low, high = bins
    assert len(edges) == number + 1
    assert edges[0].item() == pytest.approx(low)
    assert edges[-1].item() == high
    np.testing.assert_allclose(np.diff(edges, n=3)[:-1], 0, atol=2e-5)
    inside = (edges[:-1] + edges[1:]) / 2
    assert bin_index(inside, *bins).tolist() == list(range(number))


@pytest.mark.parametrize("depth", [-1.0, 0.0, 61.0, float("nan"), float("inf")])
def test_depths_out_of_range_are_background(depth):
    assert bin_index(torch.tensor([depth]), 80, 1e-3, 60.0).tolist() == [80]


def test_positions_of_maps_are_those_of_mmdet():
    config = dict(type="mmdet.SinePositionalEncoding", num_feats=16, normalize=True, offset=0.0, eps=1e-6)
    theirs = MODELS.build(config)
    expected = theirs(torch.zeros(1, 5, 7, dtype=torch.bool))[0].flatten(1).t()
    torch.testing.assert_close(map_position((5, 7), 32), expected, atol=1e-6, rtol=0)


def test_positions_of_anchors_begin_with_the_row():
    anchors = torch.rand(3, 6)
    features = box_position(anchors, 4).unflatten(-1, (6, 4))
    angle = anchors[:, [1, 0, 2, 3, 4, 5]] * 2 * np.pi
    torch.testing.assert_close(features[..., 0], angle.sin())
    torch.testing.assert_close(features[..., 3], (angle / 100).cos())


def test_embedding_of_depth_is_linear_between_metres():
    predictor = DepthPredictor(dict(type="PyramidDepthSource"), embed_dims=32, depth_max=10.0)
    table = predictor.metres.weight
    depth = torch.tensor([0.0, 3.25, 10.0, 12.0, -1.0], requires_grad=True)
    found = predictor.embed(depth)
    torch.testing.assert_close(found[0], table[0])
    torch.testing.assert_close(found[1], 0.75 * table[3] + 0.25 * table[4])
    torch.testing.assert_close(found[2:4], table[[10, 10]])
    torch.testing.assert_close(found[4], table[0])
    slope = torch.autograd.grad(found[1].sum(), depth)[0]
    torch.testing.assert_close(slope[1], (table[4] - table[3]).sum())


def test_a_depth_that_is_no_number_embeds_as_none_and_breaks_nothing():
    predictor = DepthPredictor(dict(type="PyramidDepthSource"), embed_dims=32)
    found = predictor.embed(torch.tensor([1.0, torch.nan]))
    assert found[0].isfinite().all()
    assert found[1].isnan().all()


def test_expected_depth_of_certain_logits():
    predictor = DepthPredictor(dict(type="PyramidDepthSource"), embed_dims=32)
    torch.nn.init.zeros_(predictor.classifier.weight)
    torch.nn.init.zeros_(predictor.classifier.bias)
    predictor.classifier.bias.data[40] = 100.0
    levels = [torch.rand(2, 32, 8, 12), torch.rand(2, 32, 4, 6), torch.rand(2, 32, 2, 3)]
    found = predictor(levels)
    torch.testing.assert_close(found.expected, predictor.bin_values[40].expand(2, 4, 6))
    assert found.tokens.shape == (2, 24, 32)


def test_regressed_depth_undoes_its_inverse():
    depth = torch.tensor([2.0, 15.0, 60.0])
    torch.testing.assert_close(regressed_depth(torch.logit(1 / (depth + 1))), depth, rtol=1e-3, atol=0)


def test_geometry_finds_the_depth_of_a_projected_height():
    depth, height, focal, rows = 23.0, 1.6, 721.5, 375.0
    share = focal * height / depth / rows  # of the image's height
    boxes = torch.tensor([[[0.5, 0.5, 0.1, 0.1, 0.3 * share, 0.7 * share]]])
    camera = Camera(torch.tensor([focal]), torch.tensor([rows]))
    found = geometric_depth(torch.tensor([[height]]), boxes, camera)
    assert found.item() == pytest.approx(depth, rel=1e-5)
    tiny = geometric_depth(torch.tensor([[height]]), boxes * 1e-9, camera)
    assert tiny.item() == pytest.approx(focal * height, rel=1e-5)  # not less than one pixel


def test_the_map_is_read_between_the_centres_of_its_corner_cells():
    ramp = torch.arange(5.0).expand(1, 3, 5) * 2  # 0, 2 ... 8 along x
    boxes = torch.zeros(1, 4, 6)
    boxes[0, :, 0] = torch.tensor([0.0, 0.375, 1.0, 1.5])
    boxes[0, :, 1] = 0.5
    torch.testing.assert_close(map_depth(ramp, boxes), torch.tensor([[0.0, 3.0, 8.0, 0.0]]))


def test_gradients_of_the_fused_depth():
    """They reach heights and box, but the box's centre only through the other two numbers of it."""
    heights = torch.tensor([[1.5]], requires_grad=True)
    boxes = torch.tensor([[[0.4, 0.5, 0.1, 0.1, 0.1, 0.1]]], requires_grad=True)
    raw = torch.tensor([[-3.0]], requires_grad=True)
    depth_map = torch.rand(1, 4, 6, requires_grad=True)
    camera = Camera(torch.tensor([700.0]), torch.tensor([400.0]))
    fused_depth(raw, heights, boxes, depth_map, camera).sum().backward()
    assert heights.grad.item() == pytest.approx(700 / 80 / 3)
    np.testing.assert_array_equal(boxes.grad[0, 0, :4], 0)
    assert (boxes.grad[0, 0, 4:] < 0).all()
    assert depth_map.grad.sum().item() == pytest.approx(1 / 3)
    assert raw.grad.item() < 0

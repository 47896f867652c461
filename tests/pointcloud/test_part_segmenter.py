"""Part segmentation: shapes of the paper, batches, unequal clouds, restricted predictions, bad input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError, DataError
from dense3d.pointcloud import PartSegmenter
from dense3d.structures import PointDataSample

SMALL = dict(embed_dim=24, depth=3, num_heads=2, num_groups=8, group_size=4)
SETTINGS = dict(num_parts=5, fetch_blocks=(0, 2), propagation_channels=(16, 12))
PARTS = [[0, 1], [2, 3, 4]]


def segmenter(**settings) -> PartSegmenter:
    torch.manual_seed(0)
    return PartSegmenter(SMALL, **{**SETTINGS, "category_parts": PARTS, **settings}).eval()


def samples(*categories: int, count: int = 40) -> list[PointDataSample]:
    return [
        PointDataSample(
            category=torch.tensor(c), gt_point_labels=torch.tensor(PARTS[c]).repeat(count)[:count]
        )
        for c in categories
    ]


def test_the_paper_s_sizes():
    model = PartSegmenter(dict(num_groups=128), num_parts=50, num_categories=16)
    assert model.propagation.layers[0][0].weight.shape == (1536, 1155)
    assert model.head.linear1.weight.shape == (512, 3392)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == pytest.approx(27.064e6, rel=1e-4)  # as the official network has


def test_batch_equals_single():
    model, points = segmenter(), torch.randn(2, 40, 3)
    found = model.log_probabilities(points, torch.tensor([0, 1]))
    single = [model.log_probabilities(points[i : i + 1], torch.tensor([i])) for i in range(2)]
    torch.testing.assert_close(found, torch.cat(single))


def test_clouds_of_several_sizes_equal_single_ones():
    model, clouds = segmenter(), [torch.randn(40, 3), torch.randn(23, 3)]
    inputs = {"points": torch.cat(clouds), "lengths": torch.tensor([40, 23])}
    both = model(inputs, [*samples(0), *samples(1, count=23)])
    single = [model(cloud[None], samples(i, count=len(cloud)))[0] for i, cloud in enumerate(clouds)]
    torch.testing.assert_close(both, torch.cat(single))
    found = model(inputs, [*samples(0), *samples(1, count=23)], mode="predict")
    assert [len(sample.pred_point_labels) for sample in found] == [40, 23]


def test_predictions_are_parts_of_the_category():
    model = segmenter()
    found = model(torch.randn(2, 40, 3), samples(0, 1), mode="predict")
    for sample, parts in zip(found, PARTS):
        assert set(sample.pred_point_labels.tolist()) <= set(parts)
        best = torch.tensor(parts)[sample.pred_point_scores[:, parts].argmax(dim=1)]
        assert torch.equal(sample.pred_point_labels, best)
        torch.testing.assert_close(sample.pred_point_scores.exp().sum(dim=1), torch.ones(40))


def test_the_category_decides_and_the_loss_is_over_all_parts():
    model, points = segmenter(), torch.randn(1, 40, 3)
    first, second = (model.log_probabilities(points, torch.tensor([c])) for c in (0, 1))
    assert not torch.allclose(first, second)
    losses = model(points, samples(0), mode="loss")
    torch.testing.assert_close(losses["loss"], F.nll_loss(first[0], samples(0)[0].gt_point_labels))


def test_points_without_a_part_do_not_count():
    model, points = segmenter(), torch.randn(1, 40, 3)
    some = samples(0)
    some[0].gt_point_labels[10:] = -1
    found = model.log_probabilities(points, torch.tensor([0]))[0]
    losses = model(points, some, mode="loss")
    torch.testing.assert_close(losses["loss"], F.nll_loss(found[:10], some[0].gt_point_labels[:10]))
    right = (found[:10].argmax(dim=1) == some[0].gt_point_labels[:10]).float().mean()
    torch.testing.assert_close(losses["accuracy"], 100 * right)
    some[0].gt_point_labels[:] = -1
    assert model(points, some, mode="loss")["loss"] == 0


def test_bad_input_is_one_sentence():
    model, points = segmenter(), torch.randn(1, 40, 3)
    with pytest.raises(DataError, match="is told the category"):
        model(points, [PointDataSample()])
    with pytest.raises(DataError, match="category 2; there are 0 to 1"):
        model(points, [PointDataSample(category=torch.tensor(2))])
    with pytest.raises(DataError, match="no part for each of its 40 points"):
        model(points, samples(0, count=30), mode="loss")
    wrong = samples(0)
    wrong[0].gt_point_labels[3] = 5
    with pytest.raises(DataError, match="part 5; the model knows 0 to 4"):
        model(points, wrong, mode="loss")
    with pytest.raises(DataError, match="cannot be cut into"):
        model(points[:, :6], samples(0))


def test_wrong_settings_are_one_sentence():
    with pytest.raises(ConfigError, match="blocks 0 to 2"):
        segmenter(fetch_blocks=(3, 7, 11))
    with pytest.raises(ConfigError, match="num_categories"):
        segmenter(category_parts=None)
    with pytest.raises(ConfigError, match=r"category_parts\[1\]"):
        segmenter(category_parts=[[0], [5]])


def test_half_precision_on_a_cpu_gives_finite_gradients():
    model = segmenter().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.randn(3, 40, 3), samples(0, 1, 0), mode="loss")["loss"]
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

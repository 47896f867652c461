"""How clouds are brought to one size: farthest points, random parts, votes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.ops import farthest_point_sample, gather_points
from dense3d.pointcloud import PointClassifier
from dense3d.pointcloud.sampling import PointSampling

SMALL = dict(embed_dim=24, depth=1, num_heads=2, num_groups=8, group_size=4)


def test_official_numbers_of_candidates():
    assert [PointSampling(n).num_candidates for n in (1024, 2048, 4096, 8192)] == [1200, 2400, 4800, 8192]
    with pytest.raises(ConfigError, match="num_points=1000 with num_candidates=None"):
        PointSampling(1000)
    with pytest.raises(ConfigError, match="num_candidates=5"):
        PointSampling(10, 5)


def test_tests_take_the_farthest_points():
    points = torch.randn(2, 60, 3)
    found, lengths = PointSampling(20, 30).test_points(points, None)
    expected = gather_points(points, farthest_point_sample(points, 20, skip_origin=True))
    assert lengths is None and torch.equal(found, expected)


def test_training_draws_the_same_places_for_all_and_moves_each_cloud_alone():
    points = torch.randn(2, 60, 3)
    np.random.seed(3)
    moved, _ = PointSampling(20, 30).training_points(points, None)
    np.random.seed(3)
    still, _ = PointSampling(20, 30, scale=(1.0, 1.0), shift=0.0).training_points(points, None)
    candidates = gather_points(points, farthest_point_sample(points, 30, skip_origin=True))
    np.random.seed(3)
    chosen = np.random.choice(30, 20, replace=False)
    torch.testing.assert_close(still, candidates[:, chosen])
    for before, after in zip(still, moved):  # an affine map an axis, within the bounds
        for axis in range(3):
            design = torch.stack([before[:, axis], torch.ones(20)], dim=1)
            scale, shift = torch.linalg.lstsq(design, after[:, axis, None]).solution.flatten()
            torch.testing.assert_close(
                design @ torch.stack([scale, shift]), after[:, axis], rtol=1e-4, atol=1e-5
            )
            assert 2 / 3 <= scale <= 3 / 2 and abs(shift) <= 0.2
    assert not torch.allclose(moved[0] / still[0], moved[1] / still[1])


def test_small_clouds_stay_whole_and_unequal_ones_are_sampled_alone():
    sampling = PointSampling(20, 30)
    assert sampling.test_points(torch.randn(1, 12, 3), None)[0].shape == (1, 12, 3)
    clouds = [torch.randn(60, 3), torch.randn(12, 3)]
    padded = torch.zeros(2, 60, 3)
    padded[0], padded[1, :12] = clouds
    found, lengths = sampling.test_points(padded, torch.tensor([60, 12]))
    assert lengths.tolist() == [20, 12]
    torch.testing.assert_close(found[0], sampling.test_points(clouds[0][None], None)[0][0])
    torch.testing.assert_close(found[1, :12], sampling.test_points(clouds[1][None], None)[0][0])
    assert sampling.training_points(padded, torch.tensor([60, 12]))[1].tolist() == [20, 12]


def test_votes_are_means_of_logits_and_repeat():
    torch.manual_seed(0)
    settings = dict(sampling=dict(num_points=20, num_candidates=30), voting=dict(rounds=4, repeats=2))
    model, points = PointClassifier(SMALL, num_classes=3, **settings).eval(), torch.randn(2, 60, 3)
    np.random.seed(1)
    first = [sample.pred_vote_logits for sample in model(points, mode="predict")]
    np.random.seed(2)
    second = [sample.pred_vote_logits for sample in model(points, mode="predict")]
    draws = model.sampling.votes(points, None, 4, seed=1)
    expected = torch.stack([model(draw) for draw, _ in draws]).mean(dim=0)
    for i in range(2):
        assert first[i].shape == (2, 3)
        assert torch.equal(first[i], second[i])
        torch.testing.assert_close(first[i][1], expected[i])

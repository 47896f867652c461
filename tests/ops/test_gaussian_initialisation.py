"""Gaussians from points: scipy's neighbours, colours that are rendered as given, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from dense3d.errors import ConfigError, DataError
from dense3d.ops import gaussians_from_points, rasterize_gaussians


def test_scales_are_the_mean_squared_distances_of_three_neighbours():
    points = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    start = gaussians_from_points(points, torch.rand(300, 3))
    distances = KDTree(points.numpy()).query(points.numpy(), 4)[0][:, 1:]
    expected = np.sqrt((distances**2).mean(-1))
    np.testing.assert_allclose(start.log_scales.exp(), np.repeat(expected[:, None], 3, 1), rtol=1e-5)
    assert torch.equal(start.quats, torch.tensor([[1.0, 0, 0, 0]]).expand(300, 4))


def test_the_cloud_is_not_what_a_fit_moves():
    points = torch.rand(5, 3)
    start = gaussians_from_points(points, torch.rand(5, 3).double())
    assert torch.equal(start.means, points) and start.sh_dc.dtype == torch.float32
    start.means.requires_grad_()
    with torch.no_grad():
        start.means.add_(1)
    assert not points.requires_grad and points.max() <= 1


def test_equal_points_get_the_least_scale():
    start = gaussians_from_points(torch.ones(5, 3), torch.rand(5, 3))
    torch.testing.assert_close(start.log_scales.exp(), torch.full((5, 3), 1e-7).sqrt())


def test_they_are_rendered_in_their_colour_and_opacity():
    points = torch.tensor([[0.0, 0, 2], [9, 0, 2], [0, 9, 2], [9, 9, 2]])
    colors = torch.rand(4, 3, generator=torch.Generator().manual_seed(1))
    start = gaussians_from_points(points, colors, opacity=0.3)
    images, alphas, _ = rasterize_gaussians(
        start.means[:1],
        start.quats[:1],
        start.log_scales[:1].exp(),
        start.opacity_logits[:1].sigmoid(),
        start.sh_dc[:1, None],
        torch.eye(4)[None],
        torch.tensor([[[5.0, 0, 2.5], [0, 5.0, 2.5], [0, 0, 1]]]),
        5,
        5,
        sh_degree=0,
    )
    torch.testing.assert_close(alphas[0, 2, 2, 0], torch.tensor(0.3))
    torch.testing.assert_close(images[0, 2, 2], 0.3 * colors[0])


@pytest.mark.parametrize(
    ("points", "colors", "error", "message"),
    [
        (torch.zeros(3, 3), torch.zeros(3, 3), DataError, "points must be at least 4, but are 3"),
        (torch.zeros(5, 2), torch.zeros(5, 2), DataError, r"points must be \(N, 3\), not \(5, 2\)"),
        (torch.zeros(5, 3), torch.zeros(4, 3), DataError, r"colors must be \(5, 3\), one a point"),
        (torch.full((5, 3), torch.nan), torch.zeros(5, 3), DataError, "NaN or infinite"),
        (torch.zeros(5, 3), torch.full((5, 3), torch.nan), DataError, "colors hold 15 values that are NaN"),
        (torch.zeros(5, 3), torch.zeros(5, 3).byte(), DataError, "not torch.uint8: divide bytes by 255"),
        (torch.zeros(5, 3), torch.full((5, 3), 255.0), DataError, "must lie in 0 .. 1, but reach from 255"),
    ],
)
def test_wrong_clouds_are_named(points, colors, error, message):
    with pytest.raises(error, match=message):
        gaussians_from_points(points, colors)


def test_opacity_is_between_0_and_1():
    with pytest.raises(ConfigError, match="opacity must lie between 0 and 1"):
        gaussians_from_points(torch.zeros(5, 3), torch.zeros(5, 3), opacity=1.0)

"""What the operators on clouds refuse, in one sentence, and what they all accept."""

from __future__ import annotations

import pytest
import torch

from dense3d import ops
from dense3d.errors import DataError

CLOUD = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
CALLS = {
    "farthest_point_sample": lambda points, **more: ops.farthest_point_sample(points, 2, **more),
    "knn": lambda points, **more: ops.knn(points, points, 2, **more),
    "ball_query": lambda points, **more: ops.ball_query(points, points, 0.5, 2, **more),
    "interpolate_nearest": lambda points, **more: ops.interpolate_nearest(points, points, points, **more),
}


@pytest.mark.parametrize("name", [*CALLS, "chamfer_distance"])
def test_shapes_and_types(name):
    call = CALLS.get(name) or (lambda points: ops.chamfer_distance(points, points))
    with pytest.raises(
        DataError, match=r"must be \(batch, number, 3\), not \(6, 3\): a single cloud is points\["
    ):
        call(CLOUD[0])
    with pytest.raises(DataError, match=r"must be \(batch, number, 3\), not \(2, 6, 4\)"):
        call(torch.zeros(2, 6, 4))
    with pytest.raises(DataError, match=r"must hold floating-point coordinates, not torch\.int64"):
        call(torch.zeros(2, 6, 3, dtype=torch.long))


@pytest.mark.parametrize("name", CALLS)
def test_lengths(name):
    with pytest.raises(DataError, match=r"lengths must be 2 whole numbers, one a cloud, not \(3,\)"):
        CALLS[name](CLOUD, lengths=[1, 2, 3])
    with pytest.raises(DataError, match="lengths must be 2 whole numbers"):
        CALLS[name](CLOUD, lengths=torch.ones(2))
    with pytest.raises(DataError, match=r"lengths must lie in 0 \.\. 6, but reach from 3 to 7"):
        CALLS[name](CLOUD, lengths=[3, 7])
    with pytest.raises(DataError, match="reach from -1 to 3"):
        CALLS[name](CLOUD, lengths=[3, -1])


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_points_that_are_not_finite(name, value):
    broken = CLOUD.clone()
    broken[1, 2:4, 0] = value
    with pytest.raises(
        DataError, match=r"2 points with NaN or infinite coordinates, the first is \w+\[1, 2\]"
    ):
        CALLS[name](broken)


def test_large_coordinates_are_finite():
    """Their sum is not."""
    large = torch.full((1, 4, 3), 3e38)
    assert ops.farthest_point_sample(large, 2).shape == (1, 2)


def test_batches_must_be_of_one_size():
    for call in (
        lambda x, y: ops.knn(x, y, 1),
        lambda x, y: ops.ball_query(x, y, 1.0, 1),
        lambda x, y: ops.interpolate_nearest(x, y, y, k=1),
        ops.chamfer_distance,
    ):
        with pytest.raises(DataError, match=r"are a batch of 2 and .* of 1"):
            call(CLOUD, CLOUD[:1])

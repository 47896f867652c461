"""Farthest point sampling: the rule in plain Python, ties, the official exclusion, lengths, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.errors import DataError
from dense3d.ops import backends, farthest_point_sample, farthest_point_sample_reference

BACKENDS = [row.backend for row in backends("farthest_point_sample") if row.device == "cpu"]


def by_the_rule(cloud: np.ndarray, samples: int, start: int, skip_origin: bool) -> list[int]:
    """One cloud, point by point, in the cloud's precision."""
    chosen = [start]
    nearest = [np.inf] * len(cloud)
    for _ in range(samples - 1):
        best, best_index = -1.0, 0
        for index, point in enumerate(cloud):
            if skip_origin and float(point[0] * point[0] + point[1] * point[1] + point[2] * point[2]) <= 1e-3:
                continue
            d = point - cloud[chosen[-1]]
            nearest[index] = min(nearest[index], d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
            if nearest[index] > best:
                best, best_index = nearest[index], index
        chosen.append(best_index)
    return chosen


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("skip_origin", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_the_rule(backend, skip_origin, dtype):
    torch.manual_seed(0)
    clouds = torch.randn(3, 61, 3, dtype=dtype)
    clouds[:, ::3] *= 0.02  # inside of the ball that the official rule leaves out
    start = torch.tensor([0, 7, 60])
    found = farthest_point_sample(clouds, 30, start, skip_origin, backend=backend)
    assert found.dtype == torch.long
    for cloud, first, indices in zip(clouds.numpy(), start.tolist(), found.tolist()):
        assert indices == by_the_rule(cloud, 30, first, skip_origin)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("skip_origin", [False, True])
@pytest.mark.parametrize("number", [1, 2, 33, 64, 500, 3000])
def test_equals_the_reference_with_many_ties(backend, skip_origin, number):
    """Points of a coarse grid, most of them several times."""
    random = torch.Generator().manual_seed(number)
    clouds = torch.randint(-3, 4, (4, number, 3), generator=random) / 4
    samples = min(number, 200)
    found = farthest_point_sample(clouds, samples, skip_origin=skip_origin, backend=backend)
    assert torch.equal(found, farthest_point_sample_reference(clouds, samples, skip_origin=skip_origin))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15, 1e25])
def test_equals_the_reference_on_clouds_of_any_shape(backend, scale):
    random = torch.Generator().manual_seed(3)
    cube = torch.rand(700, 3, generator=random)
    line = torch.rand(700, 1, generator=random) * torch.tensor([1.0, 2.0, 0.0])
    far = torch.cat([cube[:699] * 1e-4, torch.full((1, 3), 100.0)])
    clouds = torch.stack([cube, line, far, far.flip(0), cube + 1000]) * scale
    found = farthest_point_sample(clouds, 300, start=5, backend=backend)
    assert torch.equal(found, farthest_point_sample_reference(clouds, 300, start=5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_corners_of_a_square_come_before_its_middle(backend):
    square = torch.tensor([[[0.5, 0.5, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]])
    assert farthest_point_sample(square, 5, start=1, backend=backend).tolist() == [[1, 3, 2, 4, 0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_has_no_part(backend):
    clouds = torch.randn(3, 50, 3, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([50, 20, 33])
    padded = clouds.clone()
    for cloud, length in zip(padded, lengths):
        cloud[length:] = torch.nan
    found = farthest_point_sample(padded, 15, start=3, lengths=lengths, backend=backend)
    for row, cloud, length in zip(found, clouds, lengths):
        alone = farthest_point_sample(cloud[None, :length], 15, start=3, backend=backend)
        assert torch.equal(row, alone[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_its_clouds(backend):
    clouds = torch.randn(5, 200, 3, generator=torch.Generator().manual_seed(2))
    together = farthest_point_sample(clouds, 40, backend=backend)
    assert torch.equal(
        together, torch.cat([farthest_point_sample(c[None], 40, backend=backend) for c in clouds])
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_coinciding_points_repeat_the_first(backend):
    cloud = torch.ones(1, 6, 3)
    assert farthest_point_sample(cloud, 4, start=2, backend=backend).tolist() == [[2, 0, 0, 0]]
    near_origin = torch.full((1, 6, 3), 0.01)
    found = farthest_point_sample(near_origin, 4, start=2, skip_origin=True, backend=backend)
    assert found.tolist() == [[2, 0, 0, 0]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(backend, dtype):
    clouds = (300 * torch.randn(2, 90, 3, generator=torch.Generator().manual_seed(4))).to(dtype)
    found = farthest_point_sample(clouds, 30, backend=backend)
    assert torch.equal(found, farthest_point_sample(clouds.float(), 30, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_layout_does_not_count(backend):
    clouds = torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(5))
    expected = farthest_point_sample(clouds, 20, backend=backend)
    across = clouds.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(farthest_point_sample(across, 20, backend=backend), expected)
    wide = torch.cat([clouds, clouds], 2)[..., :3]
    assert torch.equal(farthest_point_sample(wide.requires_grad_(), 20, backend=backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_choose(backend):
    assert farthest_point_sample(torch.zeros(0, 9, 3), 4, backend=backend).shape == (0, 4)
    assert farthest_point_sample(torch.zeros(2, 9, 3), 0, backend=backend).shape == (2, 0)
    assert farthest_point_sample(torch.zeros(2, 0, 3), 0, backend=backend).shape == (2, 0)


def test_bad_input_is_one_sentence():
    cloud = torch.randn(2, 5, 3)
    with pytest.raises(DataError, match="6 are asked for, but cloud 0 of the batch has 5 points"):
        farthest_point_sample(cloud, 6)
    with pytest.raises(DataError, match="cloud 1 of the batch has 0 points"):
        farthest_point_sample(cloud, 2, lengths=[5, 0])
    with pytest.raises(DataError, match="must not be negative"):
        farthest_point_sample(cloud, -1)
    with pytest.raises(DataError, match="start 5 lies outside of the points of cloud 0"):
        farthest_point_sample(cloud, 2, start=5)
    with pytest.raises(DataError, match="start 3 lies outside of the points of cloud 1"):
        farthest_point_sample(cloud, 2, start=3, lengths=[5, 3])
    with pytest.raises(DataError, match="start must be a whole number or 2"):
        farthest_point_sample(cloud, 2, start=torch.zeros(3, dtype=torch.long))
    with pytest.raises(DataError, match="start must be a whole number"):
        farthest_point_sample(cloud, 2, start=0.5)
    broken = cloud.clone()
    broken[1, 4, 2] = torch.nan
    with pytest.raises(
        DataError, match=r"1 points with NaN or infinite coordinates, the first is points\[1, 4\]"
    ):
        farthest_point_sample(broken, 2)
    assert farthest_point_sample(broken, 2, lengths=[5, 4]).shape == (2, 2)

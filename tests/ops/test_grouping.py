"""Points within a radius by plain loops; gathering and grouping by indexing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.errors import DataError
from dense3d.ops import backends, ball_query, ball_query_reference, gather_points, group_points
from dense3d.ops import grouping as module

BACKENDS = [row.backend for row in backends("ball_query") if row.device == "cpu"]


def by_the_rule(queries: np.ndarray, points: np.ndarray, radius: float, k: int) -> np.ndarray:
    found = np.zeros((len(queries), k), dtype=np.int64)
    limit = np.float32(radius) * np.float32(radius)
    for row, query in zip(found, queries):
        d = points - query
        hits = np.flatnonzero(d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1] + d[:, 2] * d[:, 2] < limit)[:k]
        if len(hits):
            row[:] = hits[0]
            row[: len(hits)] = hits
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("number", "k"), [(1, 1), (20, 30), (300, 5), (1500, 70)])
@pytest.mark.parametrize("radius", [0.3, 1.0, 100.0])
def test_first_hits_by_index(backend, number, k, radius):
    random = torch.Generator().manual_seed(number)
    points = torch.randn(2, number, 3, generator=random)
    queries = torch.cat([points[:, :30], torch.full((2, 1, 3), 50.0)], 1)
    found = ball_query(queries, points, radius, k, backend=backend)
    assert found.dtype == torch.long
    for b in range(2):
        np.testing.assert_array_equal(found[b], by_the_rule(queries[b].numpy(), points[b].numpy(), radius, k))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_sphere_itself_is_outside(backend):
    points = torch.tensor([[[1.0, 0, 0], [0, 0.5, 0]]])
    assert ball_query(torch.zeros(1, 1, 3), points, 1.0, 2, backend=backend).tolist() == [[[1, 1]]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_has_no_part(backend):
    points = torch.randn(3, 50, 3, generator=torch.Generator().manual_seed(1))
    queries = points[:, :9].clone()
    padded, lengths = points.clone(), torch.tensor([50, 0, 12])
    for cloud, length in zip(padded, lengths):
        cloud[length:] = torch.nan
    found = ball_query(queries, padded, 1.2, 8, lengths, backend=backend)
    for b, length in enumerate(lengths):
        alone = ball_query(queries[b : b + 1], points[b : b + 1, :length], 1.2, 8, backend=backend)
        assert torch.equal(found[b], alone[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions(backend, dtype):
    points = torch.randn(2, 80, 3, generator=torch.Generator().manual_seed(2)).to(dtype)
    found = ball_query(points, points, 0.7, 6, backend=backend)
    wide = points if dtype == torch.float64 else points.float()
    assert torch.equal(found, ball_query_reference(wide, wide, 0.7, 6))


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_find(backend):
    cloud = torch.zeros(2, 4, 3)
    assert ball_query(cloud[:, :0], cloud, 1.0, 3, backend=backend).shape == (2, 0, 3)
    assert ball_query(cloud[:0], cloud[:0], 1.0, 3, backend=backend).shape == (0, 4, 3)
    assert ball_query(cloud, cloud[:, :0], 1.0, 3, backend=backend).tolist() == [[[0] * 3] * 4] * 2


def test_the_reference_in_parts(monkeypatch):
    points = torch.randn(2, 60, 3, generator=torch.Generator().manual_seed(3))
    whole = ball_query_reference(points, points, 0.8, 5)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 300)
    assert torch.equal(ball_query_reference(points, points, 0.8, 5), whole)


def test_ball_query_refuses():
    cloud = torch.zeros(1, 4, 3)
    for radius, k in ((0.0, 1), (-1.0, 1), (float("nan"), 1), (1.0, 0)):
        with pytest.raises(DataError, match="a positive radius and k of at least 1, not"):
            ball_query(cloud, cloud, radius, k)


@pytest.mark.parametrize("shape", [(2,), (2, 5), (2, 3, 4), (2, 0, 4)])
def test_gathering_is_indexing(shape):
    random = torch.Generator().manual_seed(0)
    features = torch.randn(2, 7, 5, generator=random, requires_grad=True)
    indices = torch.randint(7, shape, generator=random)
    found = gather_points(features, indices)
    rows = torch.arange(2).view(2, *[1] * (len(shape) - 1))
    other = features.detach().clone().requires_grad_()
    expected = other[rows, indices]
    assert torch.equal(found, expected)
    weight = torch.randn(found.shape, generator=random)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(features.grad, other.grad)


def test_gathering_nothing():
    assert gather_points(torch.zeros(0, 7, 3), torch.zeros(0, 4, 2, dtype=torch.long)).shape == (0, 4, 2, 3)
    assert gather_points(torch.zeros(2, 7, 0), torch.zeros(2, 4, dtype=torch.long)).shape == (2, 4, 0)
    assert gather_points(torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.int32)).shape == (2, 0, 3)


def test_gathering_refuses():
    features = torch.zeros(2, 7, 3)
    with pytest.raises(DataError, match="indices reach from 0 to 7, but clouds have 7 points"):
        gather_points(features, torch.tensor([[0], [7]]))
    with pytest.raises(DataError, match="reach from -1"):
        gather_points(features, torch.tensor([[0], [-1]]))
    with pytest.raises(DataError, match=r"not \(2, 7, 3\) and \(3, 1\)"):
        gather_points(features, torch.zeros(3, 1, dtype=torch.long))
    with pytest.raises(DataError, match=r"whole numbers \(int64\), not torch\.float32"):
        gather_points(features, torch.zeros(2, 1))


def test_groups_are_relative_to_their_centres():
    random = torch.Generator().manual_seed(0)
    points = torch.randn(2, 9, 3, generator=random, dtype=torch.float64, requires_grad=True)
    centres = torch.randn(2, 4, 3, generator=random, dtype=torch.float64, requires_grad=True)
    indices = torch.randint(9, (2, 4, 5), generator=random)
    found = group_points(points, centres, indices)
    assert torch.equal(
        found + centres[:, :, None],
        gather_points(points, indices) - centres[:, :, None] + centres[:, :, None],
    )
    assert torch.autograd.gradcheck(lambda p, c: group_points(p, c, indices), (points, centres))
    with pytest.raises(DataError, match=r"indices \(2, 3, 5\) are not of centres \(2, 4, 3\)"):
        group_points(points, centres, indices[:, :3])

"""k nearest points against a KD-tree, ties, lengths; interpolation against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from dense3d.errors import DataError
from dense3d.ops import backends, interpolate_nearest, interpolate_nearest_reference, knn, knn_reference
from dense3d.ops import nearest_points as module

BACKENDS = [row.backend for row in backends("knn") if row.device == "cpu"]


def clouds(batch: int, number: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(batch, number, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("queries", "number", "k"), [(1, 1, 1), (5, 40, 7), (300, 200, 32), (10, 3000, 90), (9, 64, 64)]
)
def test_equals_a_kd_tree(backend, queries, number, k):
    q, p = clouds(2, queries), clouds(2, number, 1)
    distances, indices = knn(q, p, k, backend=backend)
    assert (distances.dtype, indices.dtype) == (torch.float32, torch.long)
    for b in range(2):
        expected, index = KDTree(p[b].double().numpy()).query(q[b].double().numpy(), k)
        np.testing.assert_array_equal(indices[b], index.reshape(queries, k))
        np.testing.assert_allclose(distances[b].sqrt(), expected.reshape(queries, k), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [3, 50, 400])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_ties_go_to_the_lowest_index(backend, number, k):
    """Points of a coarse grid, most of them several times: everything is a tie."""
    random = torch.Generator().manual_seed(number)
    points = torch.randint(-2, 3, (2, number, 3), generator=random) / 4
    k = min(k, number)
    distances, indices = knn(points, points, k, backend=backend)
    table = (points[:, :, None] - points[:, None]).square().sum(-1).numpy()
    order = np.argsort(table, axis=-1, kind="stable")[..., :k]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(table, order, -1))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e15, 1e25])
def test_equals_the_reference_at_any_scale(backend, scale):
    random = torch.Generator().manual_seed(7)
    cube = torch.rand(500, 3, generator=random)
    far = torch.cat([cube[:499] * 1e-4, torch.full((1, 3), 100.0)])
    points = torch.stack([cube, far, cube + 1000]) * scale
    for found, expected in zip(knn(points, points, 20, backend=backend), knn_reference(points, points, 20)):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_has_no_part(backend):
    q, p = clouds(3, 30), clouds(3, 50, 1)
    lengths = torch.tensor([50, 11, 33])
    padded = p.clone()
    for cloud, length in zip(padded, lengths):
        cloud[length:] = torch.nan
    distances, indices = knn(q, padded, 10, lengths, backend=backend)
    for b, length in enumerate(lengths):
        alone = knn(q[b : b + 1], p[b : b + 1, :length], 10, backend=backend)
        assert torch.equal(distances[b], alone[0][0])
        assert torch.equal(indices[b], alone[1][0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_precisions_and_layouts(backend):
    q, p = clouds(2, 20), clouds(2, 60, 1)
    expected = knn(q, p, 5, backend=backend)
    across = p.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(knn(q.requires_grad_(), across, 5, backend=backend)[1], expected[1])
    assert not knn(q, p, 5, backend=backend)[0].requires_grad
    double = knn(q.double(), p, 5, backend=backend)
    assert double[0].dtype == torch.float64
    assert torch.equal(double[1], expected[1])
    q, p = (100 * q).half(), (100 * p).half()
    half = knn(q, p, 5, backend=backend)
    assert half[0].dtype == torch.float32
    assert torch.equal(half[1], knn(q.float(), p.float(), 5, backend=backend)[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_find(backend):
    for q, p, k in ((0, 5, 2), (5, 5, 0)):
        distances, indices = knn(clouds(2, q), clouds(2, p), k, backend=backend)
        assert distances.shape == indices.shape == (2, q, k)
    assert knn(clouds(0, 4), clouds(0, 4), 2, backend=backend)[1].shape == (0, 4, 2)


def test_too_few_points():
    with pytest.raises(DataError, match="knn: 6 are asked for, but cloud 0 of the batch has 5 points"):
        knn(clouds(1, 2), clouds(1, 5), 6)
    with pytest.raises(DataError, match="3 are asked for, but cloud 1 of the batch has 2 points"):
        knn(clouds(2, 2), clouds(2, 5), 3, lengths=[5, 2])
    with pytest.raises(DataError, match="knn: 1 are asked for, but cloud 0 of the batch has 0 points"):
        knn(clouds(2, 2), clouds(2, 5), 1, lengths=[0, 5])


def test_the_reference_in_parts(monkeypatch):
    q, p = clouds(2, 50), clouds(2, 30, 1)
    whole = knn_reference(q, p, 4)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 200)
    assert all(torch.equal(a, b) for a, b in zip(knn_reference(q, p, 4), whole))


@pytest.mark.parametrize("interpolate", [interpolate_nearest, interpolate_nearest_reference])
@pytest.mark.parametrize("power", [1, 2])
def test_weights_are_inverse_distances(interpolate, power):
    q, p = clouds(2, 9, dtype=torch.float64), clouds(2, 15, 1, torch.float64)
    features = torch.randn(2, 15, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = interpolate(q, p, features, k=3, power=power)
    for b in range(2):
        distance, index = KDTree(p[b].numpy()).query(q[b].numpy(), 3)
        weight = 1 / (distance**power + 1e-8)
        expected = (features[b].numpy()[index] * weight[..., None]).sum(1) / weight.sum(1, keepdims=True)
        np.testing.assert_allclose(found[b], expected, rtol=1e-10)


def test_interpolation_at_a_point_gives_its_feature():
    p = clouds(1, 12)
    features = torch.randn(1, 12, 5, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(interpolate_nearest(p, p, features), features, rtol=1e-4, atol=1e-4)


def test_gradient_of_interpolation():
    q, p = clouds(2, 6, dtype=torch.float64), clouds(2, 8, 1, torch.float64)
    features = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: interpolate_nearest(q, p, f), features)
    other = features.detach().clone().requires_grad_()
    weight = torch.randn(2, 6, 3, dtype=torch.float64)
    (interpolate_nearest(q, p, features) * weight).sum().backward()
    (interpolate_nearest_reference(q, p, other) * weight).sum().backward()
    torch.testing.assert_close(features.grad, other.grad)


def test_interpolation_of_unequal_clouds_and_of_nothing():
    q, p, features = clouds(2, 6), clouds(2, 8, 1), clouds(2, 8, 2)
    p[1, 5:] = torch.nan
    found = interpolate_nearest(q, p, features, lengths=[8, 5])
    alone = interpolate_nearest(q[1:], p[1:, :5], features[1:, :5])
    torch.testing.assert_close(found[1:], alone)
    assert interpolate_nearest(q[:, :0], p[:, :5], features[:, :5]).shape == (2, 0, 3)
    assert interpolate_nearest(q, p[:, :5], features[:, :5, :0]).shape == (2, 6, 0)
    assert interpolate_nearest(q[:0], p[:0], features[:0]).shape == (0, 6, 3)
    half = interpolate_nearest(q, p[:, :5], features[:, :5].bfloat16())
    assert half.dtype == torch.bfloat16


def test_interpolation_refuses():
    q, p = clouds(2, 6), clouds(2, 8, 1)
    with pytest.raises(DataError, match=r"features \(2, 7, 3\) are not of points \(2, 8, 3\)"):
        interpolate_nearest(q, p, torch.zeros(2, 7, 3))
    with pytest.raises(DataError, match="power 1 or 2 and k of at least 1, not power=3"):
        interpolate_nearest(q, p, p, power=3)
    with pytest.raises(DataError, match="3 are asked for, but cloud 0 of the batch has 2 points"):
        interpolate_nearest(q, p[:, :2], p[:, :2])

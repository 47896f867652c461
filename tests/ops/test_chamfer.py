"""Chamfer distances against a KD-tree and finite differences; unequal clouds, coincidence, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from dense3d.errors import DataError
from dense3d.ops import backends, chamfer_distance, chamfer_distance_reference, chamfer_loss
from dense3d.ops import chamfer as module

BACKENDS = [row.backend for row in backends("chamfer_distance") if row.device == "cpu"]


def clouds(batch: int, number: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(batch, number, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (32, 32), (7, 500), (1000, 70), (2500, 2500)])
@pytest.mark.parametrize("norm", [1, 2])
def test_equals_a_kd_tree(backend, n, m, norm):
    x, y = clouds(2, n), clouds(2, m, 1)
    forward, backward = chamfer_distance(x, y, norm=norm, backend=backend)
    for b in range(2):
        for found, a, c in ((forward[b], x[b], y[b]), (backward[b], y[b], x[b])):
            distance, _ = KDTree(c.double().numpy()).query(a.double().numpy())
            np.testing.assert_allclose(found, distance**norm, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [5, 60, 900])
def test_ties_go_to_the_lowest_index(backend, number):
    """The gradient of y says which point was taken; coarse grids, so that nearly all are ties."""
    random = torch.Generator().manual_seed(number)
    x = torch.randint(-4, 5, (2, number, 3), generator=random) / 4 + 0.125
    y = torch.randint(-4, 5, (2, number, 3), generator=random) / 4
    results = []
    for distance in (lambda *xy: chamfer_distance(*xy, backend=backend), chamfer_distance_reference):
        leaves = x.clone().requires_grad_(), y.clone().requires_grad_()
        forward, backward = distance(*leaves)
        forward.sum().backward()
        assert torch.equal(forward, forward.round(decimals=6))
        results.append([forward, backward, leaves[0].grad, leaves[1].grad])
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("norm", [1, 2])
def test_gradients(backend, norm):
    x, y = clouds(2, 6, dtype=torch.float64), clouds(2, 9, 1, torch.float64)
    leaves = x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: chamfer_distance(a, b, norm=norm, backend=backend), leaves)
    assert torch.autograd.gradcheck(
        lambda a, b: chamfer_distance(a, b, [6, 2], [9, 4], norm, backend), leaves
    )


def test_second_derivatives():
    x, y = clouds(1, 4, dtype=torch.float64), clouds(1, 5, 1, torch.float64)
    leaves = x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda a, b: chamfer_distance(a, b, norm=1), leaves)


@pytest.mark.parametrize("norm", [1, 2])
def test_coinciding_points_have_gradient_0(norm):
    x = clouds(2, 8).requires_grad_()
    y = x.detach().clone().requires_grad_()
    loss = chamfer_loss(x, y, norm=norm)
    loss.backward()
    assert loss == 0
    assert not x.grad.any() and not y.grad.any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("norm", [1, 2])
def test_unequal_lengths(backend, norm):
    x, y = clouds(4, 30), clouds(4, 25, 1)
    x_lengths, y_lengths = torch.tensor([30, 7, 1, 0]), [25, 25, 3, 0]
    padded = x.clone(), y.clone()
    for cloud, length in [*zip(padded[0], x_lengths), *zip(padded[1], y_lengths)]:
        cloud[length:] = 1e6
    leaves = [p.requires_grad_() for p in padded]
    forward, backward = chamfer_distance(*leaves, x_lengths, y_lengths, norm, backend)
    (forward.sum() + backward.sum()).backward()
    for b, (n, m) in enumerate(zip(x_lengths.tolist(), y_lengths)):
        assert not forward[b, n:].any() and not backward[b, m:].any()
        assert not leaves[0].grad[b, n:].any() and not leaves[1].grad[b, m:].any()
        if n:
            alone = chamfer_distance(x[b : b + 1, :n], y[b : b + 1, :m], norm=norm, backend=backend)
            torch.testing.assert_close(forward[b, :n], alone[0][0])
            torch.testing.assert_close(backward[b, :m], alone[1][0])


def test_padding_of_nan_has_no_part():
    x, y = clouds(1, 5).requires_grad_(), clouds(1, 5, 1)
    padded = torch.cat([x, torch.full((1, 2, 3), torch.nan)], 1)
    loss = chamfer_loss(padded, y, x_lengths=[5])
    loss.backward()
    torch.testing.assert_close(loss, chamfer_loss(x, y))
    assert torch.isfinite(x.grad).all()


def test_loss_reduces_over_all_points():
    x, y = clouds(3, 20), clouds(3, 30, 1)
    forward, backward = chamfer_distance(x, y)
    torch.testing.assert_close(chamfer_loss(x, y), forward.mean() + backward.mean())
    torch.testing.assert_close(
        chamfer_loss(x, y, norm=1), (forward.sqrt().mean() + backward.sqrt().mean()) / 2
    )
    lengths = [20, 4, 0], [30, 10, 0]
    forward, backward = chamfer_distance(x, y, *lengths)
    torch.testing.assert_close(chamfer_loss(x, y, *lengths), forward.sum() / 24 + backward.sum() / 40)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_diverged_network_is_noticed(backend, value):
    x, y = clouds(2, 300), clouds(2, 300, 1)
    x[1, 17, 1] = value
    for found, expected in zip(chamfer_distance(x, y, backend=backend), chamfer_distance_reference(x, y)):
        torch.testing.assert_close(found, expected, equal_nan=True)
        assert torch.isfinite(found[0]).all()
    assert not torch.isfinite(chamfer_loss(x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, y = (100 * clouds(2, 9)).to(dtype).requires_grad_(), (100 * clouds(2, 9, 1)).to(dtype)
    forward, _ = chamfer_distance(x, y)
    assert forward.dtype == torch.float32
    torch.testing.assert_close(forward, chamfer_distance(x.float(), y.float())[0])
    forward.sum().backward()
    assert x.grad.dtype == dtype


def test_layout_and_empty_batches():
    x, y = clouds(2, 40), clouds(2, 30, 1)
    across = x.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(chamfer_distance(across, y)[0], chamfer_distance(x, y)[0])
    for empty in (clouds(0, 4).requires_grad_(), clouds(3, 0).requires_grad_()):
        forward, backward = chamfer_distance(empty, empty)
        assert forward.shape == backward.shape == empty.shape[:2]
        loss = chamfer_loss(empty, empty)
        loss.backward()
        assert loss == 0


def test_the_reference_in_parts(monkeypatch):
    x, y = clouds(2, 40), clouds(2, 30, 1)
    whole = chamfer_distance_reference(x, y)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 300)
    assert all(torch.equal(a, b) for a, b in zip(chamfer_distance_reference(x, y), whole))


def test_bad_input_is_one_sentence():
    x, y = clouds(2, 5), clouds(2, 4)
    with pytest.raises(DataError, match="pair 1 of the batch has 0 points of x and 4 of y"):
        chamfer_distance(x, y, x_lengths=[5, 0])
    with pytest.raises(DataError, match="pair 0 of the batch has 5 points of x and 0 of y"):
        chamfer_distance(x, y[:, :0])
    with pytest.raises(DataError, match="y_lengths must lie in 0"):
        chamfer_distance(x, y, y_lengths=[5, 0])
    with pytest.raises(DataError, match=r"norm 1 .* or 2 .*, not 3"):
        chamfer_loss(x, y, norm=3)

"""Compositing: closed forms, the compiled path against the reference, gradients, early termination."""

from __future__ import annotations

import pytest
import torch

from dense3d.ops import composite, composite_reference
from dense3d.ops.volume_rendering import alpha_from_extinction, corrected_alpha, transmittance

BACKENDS = ("numba", "reference")


def samples(seed: int, *shape: int, channels: int = 3, dtype=torch.float64) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    values = torch.rand(*shape, channels, generator=random, dtype=dtype)
    alpha = torch.rand(*shape, generator=random, dtype=dtype)
    return values, alpha, torch.rand(channels, generator=random, dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_medium_absorbs_exponentially(backend):
    """100 segments of a medium over length 2 give the closed form 1 - exp(-2 s), whatever the number."""
    extinction, colour = torch.tensor([0.0, 0.5, 3.0]).double(), torch.tensor([0.2, 0.4, 0.8]).double()
    alpha = alpha_from_extinction(extinction[:, None].expand(3, 100), 2 / 100)
    result = composite(colour.expand(3, 100, 3), alpha, backend=backend)
    expected = 1 - torch.exp(-2 * extinction)
    torch.testing.assert_close(result.opacity, expected)
    torch.testing.assert_close(result.values, expected[:, None] * colour)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7, 11), (2, 3, 4), (5, 1), (3, 0), (0, 4)])
def test_compiled_results_are_those_of_the_reference(shape, dtype):
    values, alpha, background = samples(0, *shape, channels=5, dtype=dtype)
    for stop in (0.0, 0.05):
        for one, two in zip(
            composite(values, alpha, background, stop, backend="numba"),
            composite(values, alpha, background, stop, backend="reference"),
        ):
            torch.testing.assert_close(one, two)


@pytest.mark.parametrize("stop", [0.0, 0.2])
def test_compiled_gradients_are_those_of_the_reference(stop):
    """Through all three results; with a fully opaque sample, where dividing by 1 - alpha would fail."""
    found = []
    for backend in BACKENDS:
        leaves = [tensor.requires_grad_() for tensor in samples(1, 6, 9)]
        alpha = torch.where(torch.arange(9) == 5, 1.0, leaves[1])
        result = composite(leaves[0], alpha, leaves[2], stop, backend=backend)
        loss = result.values.square().sum() + result.weights.pow(3).sum() + result.transmittance.exp().sum()
        found.append(torch.autograd.grad(loss, leaves))
    for one, two in zip(*found):
        torch.testing.assert_close(one, two)


def test_the_reference_differentiates_twice():
    inputs = [tensor.requires_grad_() for tensor in samples(2, 3, 4, channels=2)]
    assert torch.autograd.gradcheck(composite_reference, inputs)
    assert torch.autograd.gradgradcheck(composite_reference, inputs)


def test_the_compiled_gradient_is_that_of_differences():
    inputs = [tensor.requires_grad_() for tensor in samples(3, 3, 4, channels=2)]
    assert torch.autograd.gradcheck(lambda *tensors: composite(*tensors, backend="numba"), inputs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_early_termination_drops_what_is_hardly_seen(backend):
    values, alpha = torch.ones(1, 4, 1), torch.tensor([[0.5, 0.9, 0.5, 0.5]])
    result = composite(values, alpha, min_transmittance=0.1, backend=backend)
    assert result.weights[0].tolist() == pytest.approx([0.5, 0.45, 0, 0])
    assert result.transmittance.item() == pytest.approx(0.05)


def test_weights_and_transmittance_fit_together():
    values, alpha, background = samples(4, 8, 20)
    result = composite(values, alpha, background)
    torch.testing.assert_close(result.weights.sum(-1) + result.transmittance, torch.ones(8).double())
    torch.testing.assert_close(result.weights, transmittance(alpha)[:, :-1] * alpha)
    expected = (result.weights[..., None] * values).sum(1) + result.transmittance[:, None] * background
    torch.testing.assert_close(result.values, expected)


def test_depth_is_where_the_light_is_absorbed():
    result = composite(torch.ones(2, 3, 1), torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    assert result.depth(torch.tensor([1.0, 2.0, 3.0])).tolist() == [2.0, float("inf")]


def test_opacity_over_halves_makes_the_opacity_over_the_whole():
    alpha = torch.tensor([0.0, 0.3, 0.99])
    half = corrected_alpha(alpha, 0.5, 1.0)
    torch.testing.assert_close(1 - (1 - half) ** 2, alpha)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"values \(2, 3, 1\) have \(2, 3\) samples and alpha is \(2, 4\)"):
        composite(torch.ones(2, 3, 1), torch.ones(2, 4))

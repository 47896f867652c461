"""Spherical harmonics: orthonormal, scipy's, and compiled as the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import factorial, lpmv

from dense3d.errors import ConfigError, DataError
from dense3d.ops import backends, rgb_to_sh, sh_to_rgb, spherical_harmonics
from dense3d.ops.gaussian_colors import basis

BACKENDS = [row.backend for row in backends("spherical_harmonics") if row.device == "cpu"]


def directions(number: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(number, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_they_are_orthonormal():
    """Integrals over the sphere by Gauss-Legendre heights and equal angles, exact for polynomials."""
    heights, weights = np.polynomial.legendre.leggauss(8)
    angles = np.arange(16) * 2 * np.pi / 16
    z, angle = np.meshgrid(heights, angles, indexing="ij")
    flat = np.sqrt(1 - z**2)
    points = torch.from_numpy(np.stack([flat * np.cos(angle), flat * np.sin(angle), z], -1))
    values = basis(3, points).numpy()
    products = np.einsum("hak,hal,h->kl", values, values, weights) * 2 * np.pi / 16
    np.testing.assert_allclose(products, np.eye(16), atol=1e-12)


def test_they_are_scipys():
    """Real forms of its Legendre functions, with the phase (-1)^m of Condon and Shortley in both."""
    points = torch.nn.functional.normalize(directions(20), dim=-1)
    values = basis(3, points).numpy()
    x, y, heights = points.numpy().T
    azimuth = np.arctan2(y, x)
    for degree in range(4):
        for order in range(-degree, degree + 1):
            m = abs(order)
            norm = (2 * degree + 1) / (4 * np.pi) * factorial(degree - m) / factorial(degree + m)
            part = np.sin(m * azimuth) if order < 0 else np.cos(m * azimuth)
            expected = np.sqrt(norm) * lpmv(m, degree, heights) * part * (np.sqrt(2) if order else 1)
            np.testing.assert_allclose(values[:, degree**2 + degree + order], expected, atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("lead", "coefficients"),
    [((7,), (7,)), ((3, 7), (7,)), ((2, 3, 7), (3, 7)), ((3, 7), (3, 1)), ((), (4,))],
)
def test_compiled_values_and_gradients_are_those_of_the_reference(degree, lead, coefficients):
    dirs = directions(420).reshape(-1)[: int(np.prod(lead)) * 3].reshape(*lead, 3).clone()
    coeffs = directions(2000, seed=1).reshape(-1)[: int(np.prod(coefficients)) * 16 * 2]
    coeffs = coeffs.reshape(*coefficients, 16, 2).clone()
    found = []
    for backend in BACKENDS:
        leaves = [tensor.clone().requires_grad_() for tensor in (dirs, coeffs)]
        values = spherical_harmonics(degree, *leaves, backend=backend)
        loss = values.square().sum()
        grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        found.append([values, *grads])
    for other in found[1:]:
        for one, two in zip(other, found[0]):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_gradients_by_finite_differences():
    coeffs = directions(5 * 16).reshape(5, 16, 3).requires_grad_()
    for backend in BACKENDS:
        assert torch.autograd.gradcheck(
            lambda d, c, backend=backend: spherical_harmonics(3, d, c, backend=backend),
            (directions(10, seed=2).reshape(2, 5, 3).requires_grad_(), coeffs),
        )


def test_a_colour_is_the_same_from_everywhere():
    rgb = torch.tensor([[0.1, 0.5, 0.9]])
    values = spherical_harmonics(0, directions(4).float(), rgb_to_sh(rgb)[:, None])
    torch.testing.assert_close(values + 0.5, rgb.expand(4, 3))
    torch.testing.assert_close(sh_to_rgb(rgb_to_sh(rgb)), rgb)


def test_wrong_input_is_named():
    with pytest.raises(ConfigError, match="sh_degree must be 0, 1, 2 or 3, not 4"):
        spherical_harmonics(4, torch.ones(1, 3), torch.ones(1, 25, 3))
    with pytest.raises(DataError, match=r"coeffs must be \(..., 9 or more, channels\) for degree 2"):
        spherical_harmonics(2, torch.ones(1, 3), torch.ones(1, 4, 3))
    with pytest.raises(DataError, match=r"dirs must be \(..., 3\), not \(1, 2\)"):
        spherical_harmonics(0, torch.ones(1, 2), torch.ones(1, 1, 3))
    with pytest.raises(DataError, match="are not of dirs"):
        spherical_harmonics(0, torch.ones(2, 3), torch.ones(3, 1, 3))

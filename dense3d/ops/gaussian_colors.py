"""Colours that depend on the direction of view: real spherical harmonics to degree 3.

Coefficients are in the order of Kerbl et al., 2023, in which degree l takes the places l^2 .. l^2 + 2 l.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import gaussian_projection_cpu
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.gaussian_checks import check_degree
from dense3d.ops.point_checks import working_dtype

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
C3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277)


def spherical_harmonics(degree: int, dirs: Tensor, coeffs: Tensor, *, backend: str | None = None) -> Tensor:
    """Values of functions on the sphere in the given directions.

    A colour is ``(value + 0.5).clamp(min=0)``.

    Args:
        degree: 0 .. 3; coefficients beyond it are not used.
        dirs: ``(..., 3)`` of any length; zero counts as (0, 0, 0).
        coeffs: ``(..., K, D)`` with at least (degree + 1)^2 coefficients; leading axes are broadcast
            against those of ``dirs``.
        backend: take this implementation: ``"numba"`` or ``"reference"``.

    Returns:
        ``(..., D)``. Differentiable in directions and coefficients.

    Raises:
        ConfigError: another degree.
        DataError: shapes do not fit.

    Example:
        >>> up = torch.tensor([[0.0, 0.0, 2.0]])
        >>> coeffs = torch.zeros(1, 4, 3)
        >>> coeffs[:, 2] = 1.0
        >>> spherical_harmonics(1, up, coeffs)
        tensor([[0.4886, 0.4886, 0.4886]])
    """
    check_degree(degree)
    needed = (degree + 1) ** 2
    if dirs.ndim < 1 or dirs.shape[-1] != 3:
        raise DataError(f"dirs must be (..., 3), not {tuple(dirs.shape)}")
    if coeffs.ndim < 2 or coeffs.shape[-2] < needed:
        raise DataError(
            f"coeffs must be (..., {needed} or more, channels) for degree {degree}, not {tuple(coeffs.shape)}"
        )
    try:
        torch.broadcast_shapes(dirs.shape[:-1], coeffs.shape[:-2])
    except RuntimeError:
        raise DataError(
            f"coeffs {tuple(coeffs.shape)} are not of dirs {tuple(dirs.shape)}: the axes before the last two "
            "and the last one must fit"
        ) from None
    dtype = working_dtype(dirs, coeffs)
    chosen = select_backend("spherical_harmonics", dirs.device.type, backend)
    with torch.autocast(dirs.device.type, enabled=False):
        return chosen.implementation(degree, dirs.to(dtype), coeffs.to(dtype))


def spherical_harmonics_reference(degree: int, dirs: Tensor, coeffs: Tensor) -> Tensor:
    """The definition of :func:`spherical_harmonics`: the basis, times coefficients, summed.

    Example:
        >>> spherical_harmonics_reference(0, torch.ones(1, 3), torch.ones(1, 1, 1))
        tensor([[0.2821]])
    """
    values = basis(degree, F.normalize(dirs, dim=-1))
    return (values[..., None] * coeffs[..., : values.shape[-1], :]).sum(-2)


def basis(degree: int, dirs: Tensor) -> Tensor:
    """``(..., (degree + 1)^2)``: the basis functions in directions ``(..., 3)`` of length 1."""
    x, y, z = dirs.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    values = [torch.full_like(x, C0)]
    if degree > 0:
        values += [-C1 * y, C1 * z, -C1 * x]
    if degree > 1:
        values += [C2[0] * x * y, -C2[0] * y * z, C2[1] * (2 * zz - xx - yy)]
        values += [-C2[0] * x * z, C2[2] * (xx - yy)]
    if degree > 2:
        values += [-C3[0] * y * (3 * xx - yy), C3[1] * x * y * z, -C3[2] * y * (4 * zz - xx - yy)]
        values += [C3[3] * z * (2 * zz - 3 * xx - 3 * yy), -C3[2] * x * (4 * zz - xx - yy)]
        values += [C3[4] * z * (xx - yy), -C3[0] * x * (xx - 3 * yy)]
    return torch.stack(values, -1)


def rgb_to_sh(rgb: Tensor) -> Tensor:
    """Coefficient of degree 0 that gives a colour in all directions.

    Example:
        >>> value = spherical_harmonics(0, torch.ones(3), rgb_to_sh(torch.tensor([[0.25, 0.5, 1.0]])))
        >>> (value + 0.5).tolist()
        [0.25, 0.5, 1.0]
    """
    return (rgb - 0.5) / C0


def sh_to_rgb(coefficient: Tensor) -> Tensor:
    """The colour of a coefficient of degree 0, not below 0; the inverse of :func:`rgb_to_sh`."""
    return (coefficient * C0 + 0.5).clamp(min=0)


register_backend(
    "spherical_harmonics",
    "numba",
    device="cpu",
    implementation=gaussian_projection_cpu.harmonics,
    available=gaussian_projection_cpu.numba_unavailable,
)
register_backend("spherical_harmonics", "reference", implementation=spherical_harmonics_reference)

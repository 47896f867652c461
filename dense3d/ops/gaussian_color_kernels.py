"""numba kernels of spherical harmonics, imported on the first CPU call. All compute in double precision
(``float`` of a float32 is a float32 in numba).

Directions are (C, N, 3), coefficients (N, K, D) the same for every C, values (C, N, D).
"""

from __future__ import annotations

import math

import numpy as np

from dense3d.compiled import njit
from dense3d.ops.gaussian_colors import C0, C1, C2, C3

C20, C21, C22 = C2
C30, C31, C32, C33, C34 = C3


def jit(**options):
    """``njit`` that releases the GIL."""
    return njit(nogil=True, error_model="numpy", **options)


@jit(forceinline=True)
def _unit(dirs, c, i):
    """Direction of length 1, and the length that it had, at least 1e-12."""
    x, y, z = np.float64(dirs[c, i, 0]), np.float64(dirs[c, i, 1]), np.float64(dirs[c, i, 2])
    length = max(math.sqrt(x * x + y * y + z * z), 1e-12)
    return x / length, y / length, z / length, length


@jit(forceinline=True)
def _basis(degree, x, y, z, out):
    """Basis functions into out (16,)."""
    xx, yy, zz = x * x, y * y, z * z
    out[0] = C0
    if degree > 0:
        out[1], out[2], out[3] = -C1 * y, C1 * z, -C1 * x
    if degree > 1:
        out[4], out[5], out[6] = C20 * x * y, -C20 * y * z, C21 * (2 * zz - xx - yy)
        out[7], out[8] = -C20 * x * z, C22 * (xx - yy)
    if degree > 2:
        out[9], out[10] = -C30 * y * (3 * xx - yy), C31 * x * y * z
        out[11], out[12] = -C32 * y * (4 * zz - xx - yy), C33 * z * (2 * zz - 3 * xx - 3 * yy)
        out[13], out[14] = -C32 * x * (4 * zz - xx - yy), C34 * z * (xx - yy)
        out[15] = -C30 * x * (xx - 3 * yy)


@jit(forceinline=True)
def _slope(degree, x, y, z, b):
    """Gradient by x, y and z of the sum of basis functions times b (16,)."""
    gx = gy = gz = 0.0
    if degree > 0:
        gx, gy, gz = -C1 * b[3], -C1 * b[1], C1 * b[2]
    if degree > 1:
        gx += C20 * (y * b[4] - z * b[7]) - 2 * C21 * x * b[6] + 2 * C22 * x * b[8]
        gy += C20 * (x * b[4] - z * b[5]) - 2 * C21 * y * b[6] - 2 * C22 * y * b[8]
        gz += -C20 * (y * b[5] + x * b[7]) + 4 * C21 * z * b[6]
    if degree > 2:
        xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
        gx += -6 * C30 * xy * b[9] + C31 * yz * b[10] + 2 * C32 * xy * b[11] - 6 * C33 * xz * b[12]
        gx += -C32 * (4 * zz - 3 * xx - yy) * b[13] + 2 * C34 * xz * b[14] - 3 * C30 * (xx - yy) * b[15]
        gy += -3 * C30 * (xx - yy) * b[9] + C31 * xz * b[10] - C32 * (4 * zz - xx - 3 * yy) * b[11]
        gy += -6 * C33 * yz * b[12] + 2 * C32 * xy * b[13] - 2 * C34 * yz * b[14] + 6 * C30 * xy * b[15]
        gz += C31 * xy * b[10] - 8 * C32 * (yz * b[11] + xz * b[13])
        gz += C33 * (6 * zz - 3 * xx - 3 * yy) * b[12] + C34 * (xx - yy) * b[14]
    return gx, gy, gz


@jit()
def values(first, last, degree, dirs, coeffs, out):
    """Rows ``first .. last - 1`` of N: dirs (C, N, 3), coeffs (N, K, D) -> out (C, N, D)."""
    functions = np.empty(16)
    needed = (degree + 1) * (degree + 1)
    for i in range(first, last):
        for c in range(len(dirs)):
            x, y, z, _ = _unit(dirs, c, i)
            _basis(degree, x, y, z, functions)
            for channel in range(out.shape[2]):
                total = 0.0
                for k in range(needed):
                    total += functions[k] * coeffs[i, k, channel]
                out[c, i, channel] = total


@jit()
def values_backward(first, last, degree, dirs, coeffs, grads, grad_dirs, grad_coeffs):
    """grads (C, N, D) -> grad_dirs (C, N, 3), grad_coeffs (N, K, D)."""
    functions, by_basis = np.empty(16), np.empty(16)
    needed = (degree + 1) * (degree + 1)
    channels = grads.shape[2]
    for i in range(first, last):
        grad_coeffs[i] = 0
        for c in range(len(dirs)):
            any_gradient = False
            for channel in range(channels):
                any_gradient |= grads[c, i, channel] != 0
            if not any_gradient:
                grad_dirs[c, i] = 0
                continue
            x, y, z, length = _unit(dirs, c, i)
            _basis(degree, x, y, z, functions)
            for k in range(needed):
                total = 0.0
                for channel in range(channels):
                    total += np.float64(grads[c, i, channel]) * coeffs[i, k, channel]
                    grad_coeffs[i, k, channel] += functions[k] * grads[c, i, channel]
                by_basis[k] = total
            gx, gy, gz = _slope(degree, x, y, z, by_basis)
            along = gx * x + gy * y + gz * z if length > 1e-12 else 0.0
            grad_dirs[c, i, 0] = (gx - along * x) / length
            grad_dirs[c, i, 1] = (gy - along * y) / length
            grad_dirs[c, i, 2] = (gz - along * z) / length

"""numba kernels of the projection of Gaussians, imported on the first CPU call.

All compute in double precision (``float`` of a float32 is a float32 in numba). Gradients by poses are sums
over Gaussians: each block of them has a sum of its own, so that results do not depend on the number of
threads.
"""

from __future__ import annotations

import math

import numpy as np

from dense3d.compiled import njit
from dense3d.ops.gaussian_conventions import LARGEST_RADIUS

BLOCK = 512  # Gaussians of one task


def jit(**options):
    """``njit`` that releases the GIL."""
    return njit(nogil=True, error_model="numpy", **options)


@jit(forceinline=True)
def _rotation(quats, i, out):
    """Rotation matrix of a quaternion into out (9,), and the quaternion's length."""
    w, x = np.float64(quats[i, 0]), np.float64(quats[i, 1])
    y, z = np.float64(quats[i, 2]), np.float64(quats[i, 3])
    length = math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w / length, x / length, y / length, z / length
    out[0], out[1], out[2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    out[3], out[4], out[5] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    out[6], out[7], out[8] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    return w, x, y, z, length


@jit()
def covariances(first, last, quats, scales, covars):
    """R diag(s)^2 R^T: quats (N, 4), scales (N, 3) -> covars (N, 3, 3)."""
    r = np.empty(9)
    for i in range(first, last):
        _rotation(quats, i, r)
        for row in range(3):
            for column in range(3):
                total = 0.0
                for axis in range(3):
                    scale = np.float64(scales[i, axis])
                    total += r[3 * row + axis] * scale * scale * r[3 * column + axis]
                covars[i, row, column] = total


@jit()
def covariances_backward(first, last, quats, scales, grads, grad_quats, grad_scales):
    """grads (N, 3, 3) by the covariances -> by quats (N, 4) and scales (N, 3)."""
    r, g = np.empty(9), np.empty(9)  # the rotation, and the gradient by it
    for i in range(first, last):
        w, x, y, z, length = _rotation(quats, i, r)
        for axis in range(3):
            scale, total = np.float64(scales[i, axis]), 0.0
            for row in range(3):
                by_axes = 0.0  # (G + G^T) R diag(s), the gradient by R diag(s)
                for column in range(3):
                    both = np.float64(grads[i, row, column]) + grads[i, column, row]
                    by_axes += both * r[3 * column + axis] * scale
                g[3 * row + axis] = by_axes * scale
                total += by_axes * r[3 * row + axis]
            grad_scales[i, axis] = total
        by_w = 2 * (x * (g[7] - g[5]) + y * (g[2] - g[6]) + z * (g[3] - g[1]))
        by_x = 2 * (y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]) - 2 * x * (g[4] + g[8]))
        by_y = 2 * (x * (g[1] + g[3]) + z * (g[5] + g[7]) + w * (g[2] - g[6]) - 2 * y * (g[0] + g[8]))
        by_z = 2 * (x * (g[2] + g[6]) + y * (g[5] + g[7]) + w * (g[3] - g[1]) - 2 * z * (g[0] + g[4]))
        along = w * by_w + x * by_x + y * by_y + z * by_z
        grad_quats[i, 0], grad_quats[i, 1] = (by_w - along * w) / length, (by_x - along * x) / length
        grad_quats[i, 2], grad_quats[i, 3] = (by_y - along * y) / length, (by_z - along * z) / length


@jit(forceinline=True)
def _terms(mean, covar, pose, K, limits, numbers, rx, ry, sx, sy):
    """What both ways need of one Gaussian and camera.

    Args:
        mean (3,), covar (3, 3), pose (4, 4), K (3, 3); limits (2, 2) of the tangents, least and largest.
        numbers: depths nearer than the first are taken as it; eps2d; the largest determinant.
        rx, ry (3,): written: rows of J Rv. sx, sy (3,): S3 times these.

    Returns:
        the depth, the depth that divides, tangents and clamped tangents, the covariance on the
        image, its determinant dilated and not, and whether that is a number.
    """
    nearest, eps2d, largest = numbers
    px = pose[0, 0] * mean[0] + pose[0, 1] * mean[1] + pose[0, 2] * mean[2] + pose[0, 3]
    py = pose[1, 0] * mean[0] + pose[1, 1] * mean[1] + pose[1, 2] * mean[2] + pose[1, 3]
    pz = pose[2, 0] * mean[0] + pose[2, 1] * mean[1] + pose[2, 2] * mean[2] + pose[2, 3]
    z = nearest if abs(pz) < nearest else pz
    tx, ty = px / z, py / z
    u, v = min(max(tx, limits[0, 0]), limits[1, 0]), min(max(ty, limits[0, 1]), limits[1, 1])
    for axis in range(3):
        rx[axis] = K[0, 0] / z * (pose[0, axis] - u * pose[2, axis])
        ry[axis] = K[1, 1] / z * (pose[1, axis] - v * pose[2, axis])
    xx, xy, yy = 0.0, 0.0, 0.0
    for row in range(3):
        sx[row] = covar[row, 0] * rx[0] + covar[row, 1] * rx[1] + covar[row, 2] * rx[2]
        sy[row] = covar[row, 0] * ry[0] + covar[row, 1] * ry[1] + covar[row, 2] * ry[2]
        xx += rx[row] * sx[row]
        xy += rx[row] * sy[row]
        yy += ry[row] * sy[row]
    determinant = (xx + eps2d) * (yy + eps2d) - xy * xy
    solid = (determinant > 0) & (determinant <= largest)
    if not solid:
        xx, xy, yy = 1.0, 0.0, 1.0
        determinant = (1 + eps2d) * (1 + eps2d)
    return pz, z, tx, ty, u, v, xx, xy, yy, determinant, xx * yy - xy * xy, solid


@jit(forceinline=True)
def _radii(x, y, depth, xx, yy, determinant, opacity, rules):
    """Half widths of a box in pixels, 0 and 0 for what is not seen."""
    near, far, near_is_culled, square, radius_clip, width, height, tile, alpha_min = rules
    near_enough = depth > near if near_is_culled else depth >= near
    if not (near_enough and depth <= far and abs(x) < np.inf and abs(y) < np.inf):
        return 0.0, 0.0
    if square:
        middle = (xx + yy) / 2
        largest = middle + math.sqrt(max(middle * middle - determinant, 0.1))
        rx = ry = min(math.ceil(3 * math.sqrt(largest)), LARGEST_RADIUS)
        x0, x1 = math.floor((x - 0.5 - rx) / tile), math.floor((x - 0.5 + rx + tile - 1) / tile)
        y0, y1 = math.floor((y - 0.5 - ry) / tile), math.floor((y - 0.5 + ry + tile - 1) / tile)
        touches = x1 > max(x0, 0) and y1 > max(y0, 0) and x0 * tile < width and y0 * tile < height
    else:
        if opacity < alpha_min:
            return 0.0, 0.0
        reach = min(math.sqrt(2 * math.log(opacity / alpha_min)), 3.33)
        rx = min(math.ceil(reach * math.sqrt(xx)), LARGEST_RADIUS)
        ry = min(math.ceil(reach * math.sqrt(yy)), LARGEST_RADIUS)
        touches = x + rx > 0 and y + ry > 0 and x - rx < width and y - ry < height
    if not touches or (rx <= radius_clip and ry <= radius_clip):
        return 0.0, 0.0
    return float(rx), float(ry)


@jit()
def project(first, last, inputs, cameras, numbers, antialiased, rules, results):
    """Blocks ``first .. last - 1`` of Gaussians.

    Args:
        inputs: means (N, 3), covars (N, 3, 3), opacities (N,).
        cameras: poses (C, 4, 4), intrinsics (C, 3, 3), limits (C, 2, 2), float64.
        numbers: as in :func:`_terms`.
        rules: of :func:`_radii`.
        results: written: means2d (C, N, 2), conics (C, N, 3), depths, opacities (C, N), radii (C, N, 2).
    """
    means, covars, opacities = inputs
    poses, intrinsics, limits = cameras
    means2d, conics, depths, seen_opacities, radii = results
    eps2d = numbers[1]
    scratch = np.empty((4, 3))
    for camera in range(len(poses)):
        pose, K = poses[camera], intrinsics[camera]
        for i in range(first * BLOCK, min(last * BLOCK, len(means))):
            terms = _terms(
                means[i],
                covars[i],
                pose,
                K,
                limits[camera],
                numbers,
                scratch[0],
                scratch[1],
                scratch[2],
                scratch[3],
            )
            pz, _, tx, ty, _, _, xx, xy, yy, determinant, plain, solid = terms
            means2d[camera, i, 0], means2d[camera, i, 1] = tx * K[0, 0] + K[0, 2], ty * K[1, 1] + K[1, 2]
            depths[camera, i] = pz
            inverse = 1 / determinant if solid else 0.0
            conics[camera, i, 0] = (yy + eps2d) * inverse
            conics[camera, i, 1] = -xy * inverse
            conics[camera, i, 2] = (xx + eps2d) * inverse
            share = math.sqrt(max(plain / determinant, 0.0)) if antialiased else 1.0
            seen_opacities[camera, i] = opacities[i] * share
            rx = ry = 0.0
            if solid:
                x, y, opacity = means2d[camera, i, 0], means2d[camera, i, 1], opacities[i] * share
                rx, ry = _radii(x, y, pz, xx + eps2d, yy + eps2d, determinant, opacity, rules)
            radii[camera, i, 0], radii[camera, i, 1] = np.int32(rx), np.int32(ry)


@jit()
def project_backward(first, last, inputs, cameras, numbers, antialiased, grads, results):
    """Blocks ``first .. last - 1`` of Gaussians, arguments as in :func:`project`.

    Args:
        grads: by means2d, conics, depths and opacities (C, N, ...).
        results: added to: by means (N, 3), covars (N, 3, 3), opacities (N,), and by the poses, of each block
            (blocks, C, 4, 4) float64.
    """
    means, covars, opacities = inputs
    poses, intrinsics, limits = cameras
    grad_means2d, grad_conics, grad_depths, grad_seen = grads
    grad_means, grad_covars, grad_opacities, grad_poses = results
    eps2d = numbers[1]
    rx, ry, sx, sy = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    gx, gy, point = np.empty(3), np.empty(3), np.empty(3)
    for camera in range(len(poses)):
        pose, K, limit = poses[camera], intrinsics[camera], limits[camera]
        for i in range(first * BLOCK, min(last * BLOCK, len(means))):
            g0, g1 = np.float64(grad_means2d[camera, i, 0]), np.float64(grad_means2d[camera, i, 1])
            ga, gb, gc = grad_conics[camera, i, 0], grad_conics[camera, i, 1], grad_conics[camera, i, 2]
            gz, go = np.float64(grad_depths[camera, i]), np.float64(grad_seen[camera, i])
            if g0 == 0 and g1 == 0 and ga == 0 and gb == 0 and gc == 0 and gz == 0 and go == 0:
                continue
            mean, covar, block_pose = means[i], covars[i], grad_poses[i // BLOCK, camera]
            pz, z, tx, ty, u, v, xx, xy, yy, determinant, plain, solid = _terms(
                mean, covar, pose, K, limit, numbers, rx, ry, sx, sy
            )
            # by the covariance on the image: - M V M, M the conic, V the gradient by it
            gxx = gxy = gyy = 0.0
            if solid:
                a, b, c = (yy + eps2d) / determinant, -xy / determinant, (xx + eps2d) / determinant
                gxx = -(ga * a * a + gb * a * b + gc * b * b)
                gxy = -(2 * ga * a * b + gb * (a * c + b * b) + 2 * gc * b * c)
                gyy = -(ga * b * b + gb * b * c + gc * c * c)
            if antialiased and plain > 0:
                share = math.sqrt(plain / determinant)
                grad_opacities[i] += go * share
                if solid:
                    half = go * opacities[i] * share / 2
                    gxx += half * (yy / plain - (yy + eps2d) / determinant)
                    gyy += half * (xx / plain - (xx + eps2d) / determinant)
                    gxy += half * (2 * xy / determinant - 2 * xy / plain)
            elif not antialiased:
                grad_opacities[i] += go
            # by the rows of J Rv and by the covariance in the world
            for row in range(3):
                tsx = covar[0, row] * rx[0] + covar[1, row] * rx[1] + covar[2, row] * rx[2]
                tsy = covar[0, row] * ry[0] + covar[1, row] * ry[1] + covar[2, row] * ry[2]
                gx[row] = gxx * (sx[row] + tsx) + gxy * sy[row]
                gy[row] = gyy * (sy[row] + tsy) + gxy * tsx
                for column in range(3):
                    grad_covars[i, row, column] += (
                        gxx * rx[row] * rx[column] + gxy * rx[row] * ry[column] + gyy * ry[row] * ry[column]
                    )
            # by tangents, depth and pose
            fx, fy = K[0, 0] / z, K[1, 1] / z
            gu = gv = along_x = along_y = 0.0
            for axis in range(3):
                gu -= fx * gx[axis] * pose[2, axis]
                gv -= fy * gy[axis] * pose[2, axis]
                along_x += gx[axis] * rx[axis]
                along_y += gy[axis] * ry[axis]
                block_pose[0, axis] += fx * gx[axis]
                block_pose[1, axis] += fy * gy[axis]
                block_pose[2, axis] -= fx * u * gx[axis] + fy * v * gy[axis]
            gtx = g0 * K[0, 0] + (gu if limit[0, 0] <= tx <= limit[1, 0] else 0.0)
            gty = g1 * K[1, 1] + (gv if limit[0, 1] <= ty <= limit[1, 1] else 0.0)
            point[0], point[1], point[2] = gtx / z, gty / z, gz
            if z == pz:
                point[2] -= (along_x + along_y + gtx * tx + gty * ty) / z
            for axis in range(3):
                block_pose[axis, 3] += point[axis]
                total = 0.0
                for row in range(3):
                    block_pose[row, axis] += point[row] * mean[axis]
                    total += pose[row, axis] * point[row]
                grad_means[i, axis] += total

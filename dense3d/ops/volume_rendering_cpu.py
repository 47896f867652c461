"""What prepares the compiled kernels of volume rendering: empty bricks, rays in voxels, results."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d.ops import volume_rendering_kernels as kernels
from dense3d.ops.cpu_execution import parallel_for
from dense3d.ops.volume_rendering_casting import interval_counts
from dense3d.ops.volume_rendering_rays import intersect_box

BINS = 256  # of the search for a piece of a transfer function
FARTHEST = 120  # bricks that a ray may skip at once


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def composite_forward(values: Tensor, alpha: Tensor, background: Tensor, min_transmittance: float) -> tuple:
    """values (R, S, C), alpha (R, S), background (R, C) -> total (R, C), weights (R, S), left (R,)."""
    shapes = background.shape, alpha.shape, alpha.shape[:1]
    results = [torch.empty(shape, dtype=alpha.dtype) for shape in shapes]
    arrays = [*_arrays(values, alpha, background), min_transmittance, *(result.numpy() for result in results)]
    parallel_for(kernels.composite_forward, len(alpha), *arrays)
    return tuple(results)


def composite_backward(values, alpha, background, min_transmittance, *grads) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by values, alpha and background from those by the three results."""
    results = [torch.empty(tensor.shape, dtype=tensor.dtype) for tensor in (values, alpha, background)]
    inputs = _arrays(values, alpha, background)
    outputs = [result.numpy() for result in results]
    parallel_for(
        kernels.composite_backward, len(alpha), *inputs, min_transmittance, tuple(_arrays(*grads)), *outputs
    )
    return tuple(results)


def brick_ranges(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest voxel that the samples of each brick of 8^3 cells see.

    Args:
        volume: (X, Y, Z) of any number type, C-contiguous.

    Returns:
        two arrays (ceil(X / 8), ceil(Y / 8), ceil(Z / 8)) of the volume's type.
    """
    shape = tuple(-(-count // kernels.BRICK) for count in volume.shape)
    low, high = np.empty(shape, volume.dtype), np.empty(shape, volume.dtype)
    parallel_for(kernels.brick_ranges, shape[0], volume, low, high)
    return low, high


def brick_distances(occupied: np.ndarray) -> np.ndarray:
    """int8: 0 for occupied bricks, otherwise the Chebyshev distance of the nearest one, at most 120."""
    from scipy.ndimage import distance_transform_cdt

    if not occupied.any():
        return np.full(occupied.shape, FARTHEST, np.int8)
    distances = distance_transform_cdt(~occupied, metric="chessboard")
    return np.minimum(distances, FARTHEST).astype(np.int8)


def occupied_bricks(
    low: np.ndarray, high: np.ndarray, positions: np.ndarray, extinctions: np.ndarray
) -> np.ndarray:
    """Whether a transfer function has any extinction between ``low`` and ``high`` of each brick.

    A piecewise linear function is zero on an interval exactly where it is zero at both ends and at the
    control points between. The interval is widened by what rounding may add to an interpolated value.
    """
    slack = 1e-6 * np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    low, high = low.astype(np.float64) - slack, high.astype(np.float64) + slack
    used = np.concatenate([[0], np.cumsum(extinctions > 0)])
    between = used[np.searchsorted(positions, high, "right")] > used[np.searchsorted(positions, low, "left")]
    return (
        between | (np.interp(low, positions, extinctions) > 0) | (np.interp(high, positions, extinctions) > 0)
    )


def transfer_arrays(
    positions: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """What the kernels take of a transfer function: at least two points, and the first piece of each bin."""
    if len(positions) == 1:
        positions, rows = np.repeat(positions, 2), np.repeat(rows, 2, axis=0)
    width = positions[-1] - positions[0]
    scale = BINS / width if width > 0 else 0.0
    starts = positions[0] + np.arange(BINS) * (width / BINS)
    pieces = np.clip(np.searchsorted(positions, starts, "right") - 1, 0, len(positions) - 2)
    pieces = np.maximum(pieces - 1, 0)  # rounding may put a scalar into the bin above
    return positions, np.ascontiguousarray(rows), pieces.astype(np.int64), scale


def cast(
    volume: Tensor,
    origins: Tensor,
    directions: Tensor,
    positions: Tensor,
    rgb_extinction: Tensor,
    *,
    origin: Tensor,
    spacing: Tensor,
    step: float,
    min_transmittance: float = 0.0,
    skip: bool = True,
) -> Tensor:
    """:func:`dense3d.ops.cast_rays` compiled; ``skip=False`` looks at the samples of empty bricks, too."""
    dtype = torch.float64 if volume.dtype == torch.float64 else torch.float32
    (values,) = _arrays(volume.to(dtype))
    points, rows = (tensor.detach().double().numpy() for tensor in (positions, rgb_extinction))
    origin, spacing = origin.detach().double(), spacing.detach().double()
    flat = [tensor.detach().double().reshape(-1, 3) for tensor in (origins, directions)]
    size = spacing * torch.tensor(volume.shape, dtype=torch.float64)
    near, far = intersect_box(*flat, origin, origin + size)
    counts = interval_counts(far - near, step)
    ways = torch.stack([near, (far - near) / counts.clamp(min=1), counts.double()], 1)
    if skip:
        occupied = occupied_bricks(*brick_ranges(values), points, rows[:, 3])
        distances = brick_distances(occupied)
    else:
        distances = np.zeros(tuple(-(-n // kernels.BRICK) for n in volume.shape), np.int8)
    out = np.empty((len(near), 4), values.dtype)
    rays = _arrays((flat[0] - origin) / spacing - 0.5, flat[1] / spacing, ways)
    parallel_for(
        kernels.cast,
        len(out),
        values,
        *rays,
        transfer_arrays(points, rows),
        distances,
        float(min_transmittance),
        out,
    )
    return torch.from_numpy(out).to(volume.dtype).reshape(*origins.shape[:-1], 4)

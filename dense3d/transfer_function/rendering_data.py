"""What the compiled renderer reads: 16-bit values, tables, bricks with their contents, planes in voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.ops.volume_rendering_cpu import brick_distances, brick_ranges
from dense3d.transfer_function.rendering_kernels import HAS_CLASSES, HAS_VALUES

ENTRIES = 4096  # of the table of a 1D transfer function
VALUES_2D, SLOPES_2D = 512, 128
MOST_OPAQUE = 0.999  # of a sample, over the unit length


def to_16_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(X, Y, Z) uint16, C-contiguous: ``low`` to 0 and ``high`` to 65535; a constant volume is 0."""
    scale = 65535 / (high - low) if high > low else 0.0
    result = np.empty(values.shape, np.uint16)
    for x in range(len(values)):  # a slab at a time, for the memory
        slab = (values[x].astype(np.float32) - np.float32(low)) * np.float32(scale)
        result[x] = np.clip(slab + 0.5, 0, 65535)
    return result


def value_bricks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each brick."""
    return brick_ranges(values)


def transfer_table(transfer: Any, value_range: tuple[float, float]) -> tuple[np.ndarray, float]:
    """(N, G, 4) float32 of colour and extinction, and the gradient at the end of its second axis.

    The extinction is ``-log(1 - min(opacity, 0.999))``, over the unit length; the gradient is in shares of
    the range per millimetre.
    """
    low, high = value_range
    if transfer is None:
        return np.zeros((2, 1, 4), np.float32), 1.0
    steepest = getattr(transfer, "steepest", None)
    sizes = (ENTRIES,) if steepest is None else (VALUES_2D, SLOPES_2D)
    table = np.array(transfer.table(low, high, *sizes), np.float32, order="C")
    table[..., 3] = -np.log1p(-np.minimum(table[..., 3], MOST_OPAQUE))
    return table, 1.0 if steepest is None else steepest / max(high - low, 1e-30)


def active_bricks(low: np.ndarray, high: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Whether any value between ``low`` and ``high`` (16 bits) of a brick has an opacity."""
    used = np.concatenate([[0], np.cumsum(table[..., 3].max(1) > 0)])
    last = len(table) - 1
    first = np.floor(low.astype(np.float64) / 65535 * last).astype(int)
    end = np.ceil(high.astype(np.float64) / 65535 * last).astype(int)
    return used[end + 1] > used[first]


def styles(looks: Sequence[Any]) -> np.ndarray:
    """(C, 6) float64: red, green, blue 0..1, opacity or 0, level of scores, 1 for clouds.

    Raises:
        DataError: a number is out of its range.
    """
    rows = np.zeros((len(looks), 6))
    for row, look in zip(rows, looks):
        color = np.asarray(look.color, float)
        if color.shape != (3,) or not ((color >= 0) & (color <= 255)).all():
            raise DataError(f"class {look.id}: the colour is three numbers 0..255, not {look.color}")
        for name in ("opacity", "threshold"):
            if not 0 <= getattr(look, name) <= 1:
                raise DataError(f"class {look.id}: {name} lies in 0..1, not {getattr(look, name)}")
        row[:3] = color / 255
        row[3] = look.opacity if getattr(look, "visible", True) else 0
        # rounding of interpolated scores that all equal the level makes no class
        row[4] = int(255 * look.threshold) + 1e-6
        row[5] = getattr(look, "cloud", False)
    return rows


def class_bricks(largest: np.ndarray, styles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes that may hold in each brick: starts (B + 1,), indices, and (C, ...) booleans.

    Args:
        largest: (C, BX, BY, BZ) uint8 largest scores.
        styles: (C, 6).
    """
    may_hold = largest > styles[:, 4, None, None, None]
    by_brick = may_hold.reshape(len(styles), int(np.prod(largest.shape[1:]))).T  # (B, C)
    starts = np.concatenate([[0], np.cumsum(by_brick.sum(1))]).astype(np.int64)
    return starts, np.nonzero(by_brick)[1].astype(np.int64), may_hold


def distances(active: np.ndarray, may_hold: np.ndarray, styles: np.ndarray) -> np.ndarray:
    """int8 for each brick: 0 where something may be seen, otherwise how many bricks away that is."""
    seen = may_hold[styles[:, 3] > 0].any(0) if len(styles) else np.zeros_like(active)
    return brick_distances(active | seen)


def brick_contents(active: np.ndarray, may_hold: np.ndarray, styles: np.ndarray) -> np.ndarray:
    """int8 for each brick: how many bricks away the next one with anything is, or minus what it has."""
    empty = distances(active, may_hold, styles)
    own = HAS_VALUES * active.astype(np.int8) + HAS_CLASSES * may_hold.any(0).astype(np.int8)
    return np.where(empty > 0, empty, -own)


def geometry(affine: np.ndarray, shape: Sequence[int], clip: Any) -> tuple[np.ndarray, ...]:
    """Inverse affine (3, 3), its offset (3,), planes (K, 4) in voxels, their normals (K, 3) in the world.

    Raises:
        DataError: a box without an inside, or a plane without a normal.
    """
    low, high = np.asarray(clip.low, float), np.asarray(clip.high, float)
    if low.shape != (3,) or high.shape != (3,) or not (low < high).all():
        raise DataError(f"the clipping box from {clip.low} to {clip.high} is empty: low must be below high")
    inverse = np.linalg.inv(affine)
    sides = np.eye(3)
    size = np.array(shape)
    rows = [np.append(side, -(low[k] * size[k] - 0.5)) for k, side in enumerate(sides)]
    rows += [np.append(-side, high[k] * size[k] - 0.5) for k, side in enumerate(sides)]
    rows = [*np.clip(rows, -1e9, 1e9)]
    for point, normal in clip.planes:
        point, normal = np.asarray(point, float), np.asarray(normal, float)
        usable = point.shape == normal.shape == (3,) and np.isfinite([point, normal]).all() and normal.any()
        if not usable:
            raise DataError(f"a clipping plane needs a finite point and normal, not {point} and {normal}")
        rows.append(np.append(affine[:3, :3].T @ normal, normal @ (affine[:3, 3] - point)))
    planes = np.array(rows)
    normals = planes[:, :3] @ inverse[:3, :3]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.ascontiguousarray(inverse[:3, :3]), inverse[:3, 3].copy(), planes, normals

"""Which anatomical direction each array axis of a volume points to, and putting the axes in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CODES = (("L", "R"), ("P", "A"), ("I", "S"))  # against and along each axis of the RAS+ world


@dataclass(frozen=True)
class AxisOrder:
    """A permutation and mirroring of three array axes, which moves no sample.

    Args:
        axes: new axis ``a`` is old axis ``axes[a]``.
        flips: whether new axis ``a`` runs against the old one.

    Example:
        >>> order = AxisOrder((1, 0, 2), (False, True, False))
        >>> array = np.arange(6).reshape(2, 3, 1)
        >>> order.apply(array)[..., 0].tolist()
        [[3, 0], [4, 1], [5, 2]]
        >>> bool((order.inverse().apply(order.apply(array)) == array).all())
        True
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """(X, Y, Z, ...) in the new order, as a view; further axes stay where they are."""
        moved = array.transpose(*self.axes, *range(3, array.ndim))
        return moved[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]

    def inverse(self) -> AxisOrder:
        """What undoes it."""
        axes = tuple(self.axes.index(axis) for axis in range(3))
        return AxisOrder(axes, tuple(self.flips[axis] for axis in axes))

    def then(self, other: AxisOrder) -> AxisOrder:
        """This order followed by another."""
        flips = tuple(self.flips[axis] != flip for axis, flip in zip(other.axes, other.flips))
        return AxisOrder(tuple(self.axes[axis] for axis in other.axes), flips)

    def index_affine(self, shape: tuple[int, int, int]) -> np.ndarray:
        """(4, 4) from an index in the new order to the old index.

        Args:
            shape: of the array before.
        """
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for new, (old, flip) in enumerate(zip(self.axes, self.flips)):
            matrix[old, new] = -1 if flip else 1
            matrix[old, 3] = shape[old] - 1 if flip else 0
        return matrix


def to_ras(affine: np.ndarray) -> AxisOrder:
    """The order in which the array axes point as nearly as possible to the right, the front and the head.

    The columns of the nearest orthogonal matrix decide, the clearest first, as in nibabel's
    ``io_orientation``, so that both agree on oblique volumes.

    Args:
        affine: (4, 4) voxel index to RAS+ millimetres, invertible.

    Example:
        >>> to_ras(np.diag([-2.0, -2.0, 3.0, 1.0]))
        AxisOrder(axes=(0, 1, 2), flips=(True, True, False))
    """
    world, signs = _world_axes(affine)
    axes = tuple(world.index(axis) for axis in range(3))
    return AxisOrder(axes, tuple(signs[axis] < 0 for axis in axes))


def axis_codes(affine: np.ndarray) -> str:
    """Where the three array axes lead, e.g. ``"RAS"`` or ``"LPS"`` (the letter is where indices grow to).

    Example:
        >>> axis_codes(np.diag([-1.0, -1.0, 1.0, 1.0]))
        'LPS'
    """
    return "".join(CODES[axis][sign > 0] for axis, sign in zip(*_world_axes(affine)))


def _world_axes(affine: np.ndarray) -> tuple[list[int], list[int]]:
    """For each array axis the world axis it is nearest to, each taken once, and the sign."""
    columns = np.asarray(affine, float)[:3, :3]
    left, _, right = np.linalg.svd(columns / np.linalg.norm(columns, axis=0))
    nearest = left @ right
    axes, signs, free = [0, 0, 0], [1, 1, 1], [0, 1, 2]
    for column in np.argsort(-np.abs(nearest).max(0), kind="stable"):
        axes[column] = max(free, key=lambda world: abs(nearest[world, column]))
        free.remove(axes[column])
        signs[column] = 1 if nearest[axes[column], column] >= 0 else -1
    return axes, signs

"""A scalar volume with its place in the world: the voxels of a CT, MR or microscope scan.

Voxel index ``(i, j, k)`` is array index ``values[i, j, k]``; ``affine`` takes it to world millimetres in RAS+
(x to the right, y to the front, z to the head of a patient), NIfTI's convention. The centre of voxel
``(0, 0, 0)`` is at ``affine[:3, 3]``.

Three grids are told apart. The *source* grid is that of the file. The *canonical* grid has the same samples,
with axes in the order nearest to RAS+ (:meth:`Volume.canonical`). The *working* grid is the canonical one at
fewer voxels (:meth:`Volume.reduced`). A volume knows how it came from its source and takes results back to it
(:meth:`Volume.to_source`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from dense3d.structures.volume_axes import AxisOrder, axis_codes, to_ras
from dense3d.structures.volume_blocks import block_means, reduction_affine, reduction_factors


@dataclass(frozen=True)
class VolumeSource:
    """The grid of the file that a volume was read from.

    Args:
        shape: (X, Y, Z) in the file.
        affine: (4, 4) of the file's own grid, RAS+ millimetres.
        path: the file or folder.
        details: what writers put back: NIfTI's codes, the files of a DICOM series.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    path: str = ""
    details: Mapping = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume.

    Args:
        values: (X, Y, Z) of an integer or floating type, finite; may be a memory map.
        affine: (4, 4) float64, voxel index to world millimetres, RAS+.
        name: what a person calls it: the name of its file.
        modality: "CT", "MR" ... where the file says it.
        notes: one sentence each on what a person should know of how it was opened.
        source: the file's grid; this volume's own unless given.
        order: what took the file's axes to this volume's.
        factors: voxels of the full grid in one of this one, along each of its axes.
    """

    values: np.ndarray
    affine: np.ndarray
    name: str = "volume"
    modality: str | None = None
    notes: tuple[str, ...] = ()
    source: VolumeSource | None = None
    order: AxisOrder = field(default_factory=AxisOrder)
    factors: tuple[int, int, int] = (1, 1, 1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", np.asarray(self.affine, np.float64))
        if self.source is None:
            object.__setattr__(self, "source", VolumeSource(tuple(self.values.shape), self.affine))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three array axes."""
        return self.values.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxel centres along the three array axes."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def orientation(self) -> str:
        """Where the array axes lead, e.g. ``"RAS"``: the letter is the side that indices grow to."""
        return axis_codes(self.affine)

    @property
    def full_shape(self) -> tuple[int, int, int]:
        """Voxels along this volume's axes before it was reduced."""
        return tuple(self.source.shape[axis] for axis in self.order.axes)

    def canonical(self) -> Volume:
        """The same samples with axes in the order nearest to RAS+; ``values`` is a view.

        Example:
            >>> volume = Volume(np.arange(6).reshape(2, 3, 1), np.diag([-1.0, 1.0, 1.0, 1.0]))
            >>> volume.canonical().values[..., 0].tolist(), volume.canonical().orientation
            ([[3, 4, 5], [0, 1, 2]], 'RAS')
        """
        order = to_ras(self.affine)
        if order == AxisOrder():
            return self
        return replace(
            self,
            values=order.apply(self.values),
            affine=self.affine @ order.index_affine(self.shape),
            order=self.order.then(order),
        )

    def reduced(self, limit: int) -> Volume:
        """Means of blocks of voxels, by an integer factor an axis, until no axis exceeds ``limit``.

        The result is canonical: blocks are counted from the low end of the canonical axes. Integers are
        rounded; the last block of an axis may hold fewer voxels. A memory map is read once, slab by slab.

        Args:
            limit: the most voxels an axis may keep.

        Returns:
            A smaller volume, with ``affine`` and ``factors`` of its blocks; :meth:`canonical` if that is
            small enough.

        Example:
            >>> volume = Volume(np.arange(8.0).reshape(8, 1, 1), np.eye(4)).reduced(4)
            >>> volume.values.ravel().tolist(), volume.factors, float(volume.affine[0, 3])
            ([0.5, 2.5, 4.5, 6.5], (2, 1, 1), 0.5)
        """
        volume = self.canonical()
        factors = reduction_factors(volume.shape, limit)
        if factors == (1, 1, 1):
            return volume
        values = block_means(volume.values, factors)
        total = tuple(old * new for old, new in zip(volume.factors, factors))
        return replace(
            volume,
            values=values,
            affine=volume.affine @ reduction_affine(factors),
            factors=total,
            notes=(*volume.notes, working_note(volume.full_shape, values.shape, total)),
        )

    def to_full(self, array: np.ndarray) -> np.ndarray:
        """Repeat what is known for each voxel of this volume for each voxel of the full grid.

        Args:
            array: (X, Y, Z, ...) on this volume's grid.

        Returns:
            (X', Y', Z', ...) of :attr:`full_shape`, same type; the array itself where nothing was reduced.
        """
        _check_shape(array, (self.shape,))
        for axis, (factor, size) in enumerate(zip(self.factors, self.full_shape)):
            if factor > 1:
                array = np.repeat(array, factor, axis)
            place = (slice(None),) * axis + (slice(0, size),)
            array = array[place]
        return array

    def to_source(self, array: np.ndarray) -> np.ndarray:
        """Take a result back to the grid of the file.

        Args:
            array: (X, Y, Z, ...) on the full grid in this volume's axis order, or on this volume's own,
                coarser one, each of whose voxels then stands for its block.

        Returns:
            (X', Y', Z', ...) in the shape and axis order of the file.

        Example:
            >>> volume = Volume(np.arange(6).reshape(2, 3, 1), np.diag([-1.0, 1.0, 1.0, 1.0]))
            >>> canonical = volume.canonical()
            >>> bool((canonical.to_source(canonical.values) == volume.values).all())
            True
        """
        _check_shape(array, (self.full_shape, self.shape))
        full = array if array.shape[:3] == self.full_shape else self.to_full(array)
        return self.order.inverse().apply(full)

    def from_source(self, array: np.ndarray) -> np.ndarray:
        """Bring what lies on the grid of the file to the full grid in this volume's axis order, as a view."""
        _check_shape(array, (self.source.shape,))
        return self.order.apply(array)

    def from_full(self, array: np.ndarray) -> np.ndarray:
        """Labels of the full grid -> those at the middle of this volume's voxels.

        Args:
            array: (X', Y', Z', ...) of :attr:`full_shape`.

        Returns:
            (X, Y, Z, ...), same type.
        """
        _check_shape(array, (self.full_shape,))
        for axis, (factor, size) in enumerate(zip(self.factors, self.full_shape)):
            middles = np.minimum(np.arange(0, size, factor) + factor // 2, size - 1)
            array = array if factor == 1 else np.take(array, middles, axis)
        return array

    def to_working(self, voxels: np.ndarray) -> np.ndarray:
        """(N, 3) indices of the full grid in this volume's axis order -> indices of this volume's voxels."""
        return np.asarray(voxels) // np.array(self.factors)


def working_note(full: tuple, shape: tuple, factors: tuple) -> str:
    """What a person is told of a working resolution.

    Example:
        >>> working_note((1024, 1024, 300), (256, 256, 150), (4, 4, 2))
        'shown at 256 x 256 x 150 voxels, each the mean of 4 x 4 x 2 of the file (1024 x 1024 x 300)'
    """
    small, block, whole = (" x ".join(map(str, sizes)) for sizes in (shape, factors, full))
    return f"shown at {small} voxels, each the mean of {block} of the file ({whole})"


def _check_shape(array: np.ndarray, shapes: tuple[tuple[int, ...], ...]) -> None:
    if tuple(array.shape[:3]) not in shapes:
        expected = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(f"an array of shape {array.shape} is not on this volume's grid of {expected} voxels")

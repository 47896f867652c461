"""What a volume file says of itself, and how its samples are reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dense3d.structures.volume_axes import axis_codes

Bounds = Sequence[tuple[int, int]]  # first index and one past the last, ascending


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """What is known of a volume before any of its samples is read.

    Args:
        path: the file or folder.
        format: its name for a person.
        shape: (X, Y, Z) of one frame, in the file's axis order.
        dtype: of the stored samples.
        affine: (4, 4) voxel index to RAS+ millimetres.
        frames: how many volumes the file holds.
        slope: values are ``slope * stored + intercept``.
        intercept: see ``slope``.
        modality: "CT", "MR" ... where the file says it.
        notes: one sentence each on what a person should know.
        details: what writers put back.
        placed: whether the file states where its voxels lie.
    """

    path: str
    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    affine: np.ndarray
    frames: int = 1
    slope: float = 1.0
    intercept: float = 0.0
    modality: str | None = None
    notes: tuple[str, ...] = ()
    details: Mapping = field(default_factory=dict)
    placed: bool = True

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxel centres along the three array axes."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def orientation(self) -> str:
        """Where the array axes lead, e.g. ``"LPS"``."""
        return axis_codes(self.affine)

    @property
    def bytes(self) -> int:
        """Of the stored samples of one frame, without compression."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class VolumeFile:
    """A file that was judged by its header.

    Args:
        header: what it says.
        axis: the file axis along which samples come; the slowest one.
        slabs: ``slabs(frame, bounds)`` gives the stored samples between each pair of bounds along ``axis``.
        mapped: ``mapped(frame)`` is a memory map of the stored samples, where the format allows it.
    """

    header: VolumeHeader
    axis: int
    slabs: Callable[[int, Bounds], Iterator[np.ndarray]]
    mapped: Callable[[int], np.ndarray] | None = None

"""A point cloud: points with what is known of each, as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dense3d.errors import DataError

TOLERANCE = 1e-3  # of colours beyond 0..1
# What a point may have beside its place: the shape of one point's entry and the type of its numbers.
ATTRIBUTES = {
    "colors": ((3,), np.float32),
    "normals": ((3,), np.float32),
    "labels": ((), np.int64),
    "intensity": ((), np.float32),
}


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points and their attributes, one row a point; there may be no point.

    Args:
        points: (N, 3) metres, in the frame of the file or data set; float32 afterwards. Numbers too large for
            float32 to hold to a millimetre (map coordinates) are to be moved to an origin nearby before.
        colors: (N, 3) float32, red, green, blue in 0..1.
        normals: (N, 3) float32; NaN where unknown.
        labels: (N,) int64, a class a point.
        intensity: (N,) float32, what a lidar says of the strength of a reflection.
        name: file or sample, for messages.
        origin: what was subtracted from the coordinates of the file, metres; writers of files add it again.

    Raises:
        DataError: a shape is not as above, the arrays differ in length, or colours are beyond 0..1.

    Example:
        >>> cloud = PointCloud(np.eye(3), labels=[4, 5, 6])
        >>> len(cloud), cloud.points.dtype.name, cloud.select([2, 0]).labels.tolist()
        (3, 'float32', [6, 4])
    """

    points: np.ndarray
    colors: np.ndarray | None = None
    normals: np.ndarray | None = None
    labels: np.ndarray | None = None
    intensity: np.ndarray | None = None
    name: str = ""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        points = np.asarray(self.points)
        where = self.name or "the cloud"
        if points.ndim != 2 or points.shape[1] != 3 or not _is_number(points):
            raise DataError(f"{where}: points are numbers (N, 3), not {points.dtype} {points.shape}")
        object.__setattr__(self, "points", np.ascontiguousarray(points, dtype=np.float32))
        object.__setattr__(self, "origin", tuple(float(value) for value in self.origin))
        for field, (shape, dtype) in ATTRIBUTES.items():
            values = getattr(self, field)
            if values is None:
                continue
            values = np.asarray(values)
            if values.shape != (len(points), *shape) or not _is_number(values):
                wanted = (len(points), *shape)
                raise DataError(f"{where}: {field} are {wanted}, not {values.dtype} {values.shape}")
            if field == "colors" and beyond_unit(values):
                raise DataError(
                    f"{where}: colours are in 0..1, and these reach from {np.nanmin(values):g} to "
                    f"{np.nanmax(values):g}: divide them by 255, or whatever stands for full colour"
                )
            object.__setattr__(self, field, np.ascontiguousarray(values, dtype=dtype))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def attributes(self) -> dict[str, np.ndarray]:
        """What is known of the points beside their place, by name."""
        return {name: getattr(self, name) for name in ATTRIBUTES if getattr(self, name) is not None}

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3): the least and the greatest coordinates; zeros where there is no point."""
        if not len(self):
            return np.zeros((2, 3), dtype=np.float32)
        return np.stack([self.points.min(axis=0), self.points.max(axis=0)])

    def select(self, index: np.ndarray | slice | list) -> PointCloud:
        """The points that a mask, a slice or indices choose, with their attributes.

        Args:
            index: bool (N,), integers (M,), or a slice.
        """
        if not isinstance(index, slice):
            index = np.asarray(index)
            index = index if index.size else index.astype(np.int64)
        arrays = {"points": self.points, **self.attributes}
        return replace(self, **{name: values[index] for name, values in arrays.items()})

    def transform(self, matrix: np.ndarray) -> PointCloud:
        """Points moved by a homogeneous matrix, and normals turned with them.

        Normals are multiplied by the inverse transpose and brought to their former length.

        Args:
            matrix: (4, 4), affine: the last row is 0 0 0 1.

        Raises:
            DataError: the matrix is no affine (4, 4) one, or flattens space.

        Example:
            >>> turn = np.array([[0, -1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
            >>> PointCloud([[1.0, 0, 0]]).transform(turn).points.tolist()
            [[1.0, 1.0, 0.0]]
        """
        matrix = np.asarray(matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise DataError(
                f"{self.name or 'the cloud'} is moved by an affine (4, 4) matrix, not by {matrix}"
            )
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            raise DataError(f"{self.name or 'the cloud'}: the matrix {matrix.tolist()} flattens space")
        points = self.points @ matrix[:3, :3].T + matrix[:3, 3]
        if self.normals is None:
            return replace(self, points=points)
        turned = self.normals @ np.linalg.inv(matrix[:3, :3])
        lengths = np.linalg.norm(self.normals, axis=1, keepdims=True)
        now = np.linalg.norm(turned, axis=1, keepdims=True)
        return replace(self, points=points, normals=turned * (lengths / np.where(now > 0, now, 1)))

    def finite(self) -> tuple[PointCloud, int]:
        """Without points that have a coordinate, colour or intensity that is NaN or infinite.

        Normals that are not finite become 0, since many sensors know none at edges; their points stay.

        Returns:
            The cloud, and the number of points that were dropped.
        """
        kept = np.isfinite(self.points).all(axis=1)
        if self.colors is not None:
            kept &= np.isfinite(self.colors).all(axis=1)
        if self.intensity is not None:
            kept &= np.isfinite(self.intensity)
        cloud = self if kept.all() else self.select(kept)
        if cloud.normals is not None and not np.isfinite(cloud.normals).all():
            known = np.isfinite(cloud.normals).all(axis=1, keepdims=True)
            cloud = replace(cloud, normals=np.where(known, cloud.normals, 0))
        return cloud, len(self) - len(cloud)

    def distinct(self) -> tuple[PointCloud, int]:
        """The first point of each place, in their order.

        Returns:
            The cloud, and the number of points that were dropped.
        """
        _, first = np.unique(self.points + np.float32(0), axis=0, return_index=True)  # -0 becomes 0
        return self.select(np.sort(first)), len(self) - len(first)


def beyond_unit(colors: np.ndarray) -> bool:
    """Whether a colour is below 0 or above 1 by more than rounding; numbers that are none are not.

    Example:
        >>> beyond_unit(np.array([[0.0, 0.5, 1.0]])), beyond_unit(np.array([[0, 127, 255]]))
        (False, True)
    """
    return bool(((colors < -TOLERANCE) | (colors > 1 + TOLERANCE)).any())


def _is_number(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf"

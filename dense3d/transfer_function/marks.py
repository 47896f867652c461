"""What a person marked, as it was made: points, strokes of a ball, lassos in a slice, boxes.

A mark keeps the few numbers that it was made with, in indices of the canonical grid and millimetres, and
becomes voxels of the working grid when a classifier needs them. Marks never change; an edit makes new ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import msgspec
import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.prompts import Prompt

MOST_CORNERS = 5_000  # of a lasso, and places of a stroke
MOST_VOXELS = 100_000  # of one lasso or box that a classifier is given, evenly spread over it
Voxel = tuple[int, int, int]


class PromptError(DataError):
    """A mark that lies outside the volume or holds no voxel."""


@dataclass(frozen=True)
class Grid:
    """What marks need to know of a volume.

    Args:
        shape: voxels of the canonical grid.
        spacing: its millimetres between voxels.
        factors: voxels of it in one of the working grid, along each axis.
    """

    shape: Voxel
    spacing: tuple[float, float, float]
    factors: Voxel = (1, 1, 1)

    @cached_property
    def working_shape(self) -> Voxel:
        """Voxels of the working grid."""
        return tuple(-(-size // factor) for size, factor in zip(self.shape, self.factors))

    def check(self, voxels: Sequence[Voxel]) -> None:
        """Complain about the first voxel that lies outside.

        Raises:
            PromptError: one does, or there is none.
        """
        try:
            array = np.asarray(voxels)
        except ValueError:  # rows of different lengths
            array = np.zeros(0)
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iu" or not len(array):
            raise PromptError("a mark needs voxels: triples of whole numbers")
        outside = ((array < 0) | (array >= self.shape)).any(1)
        if outside.any():
            first = tuple(int(index) for index in array[outside.argmax()])
            sizes = " x ".join(map(str, self.shape))
            raise PromptError(f"voxel {first} lies outside the volume of {sizes} voxels; mark inside of it")

    def check_radius(self, radius: float) -> None:
        """Complain about a radius that is negative, no number or larger than the volume.

        Raises:
            PromptError: it is.
        """
        extent = max(size * length for size, length in zip(self.shape, self.spacing))
        if isinstance(radius, bool) or not isinstance(radius, Real) or not 0 <= radius <= extent:
            raise PromptError(f"a radius is 0 to {extent:g} mm, not {str(radius)[:20]}")

    def to_working(self, voxels: Sequence[Voxel] | np.ndarray) -> np.ndarray:
        """(N, 3) int32 working indices, each once, of canonical ones."""
        working = np.asarray(voxels, np.int64).reshape(-1, 3) // np.array(self.factors)
        return self.unravel(np.unique(np.ravel_multi_index(tuple(working.T), self.working_shape)))

    def unravel(self, linear: np.ndarray) -> np.ndarray:
        """(N, 3) int32 working indices of positions in the flattened working grid."""
        return np.stack(np.unravel_index(linear, self.working_shape), 1).astype(np.int32)

    def centres(self, axis: int, low: int, high: int) -> np.ndarray:
        """Canonical coordinate of the centres of working voxels ``low`` .. ``high`` - 1 along an axis."""
        return np.arange(low, high) * self.factors[axis] + (self.factors[axis] - 1) / 2


class Mark(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """What all marks have.

    Args:
        id: counts from 1 over a session.
        class_id: what it is for; 0 is the background.
        positive: whether it is for the class or against it.
    """

    id: int
    class_id: int = msgspec.field(name="class")
    positive: bool = True


class Point(Mark, frozen=True, kw_only=True, tag="point"):
    """One clicked voxel."""

    voxel: Voxel

    def check(self, grid: Grid) -> None:
        """Raise a :class:`PromptError` if it is not possible in the volume."""
        grid.check([self.voxel])

    def working(self, grid: Grid) -> np.ndarray:
        """(1, 3) its voxel of the working grid."""
        return grid.to_working([self.voxel])


class Stroke(Mark, frozen=True, kw_only=True, tag="stroke"):
    """The path of a ball: every voxel whose centre is within ``radius`` millimetres of the path's voxels."""

    path: tuple[Voxel, ...]
    radius: float = 0.0

    def check(self, grid: Grid) -> None:
        """Raise a :class:`PromptError` if it is not possible in the volume."""
        grid.check(self.path)
        grid.check_radius(self.radius)
        if len(self.path) > MOST_CORNERS:
            raise PromptError(f"a stroke passes at most {MOST_CORNERS} voxels; draw it in parts")

    def working(self, grid: Grid) -> np.ndarray:
        """(N, 3) its voxels of the working grid: those of the path at least."""
        path = grid.to_working(self.path)
        spacing = np.array(grid.spacing) * grid.factors
        reach = np.floor(self.radius / spacing).astype(int)
        if not reach.any():
            return path
        low = np.maximum(path.min(0) - reach, 0)
        high = np.minimum(path.max(0) + reach + 1, grid.working_shape)
        return _near(path - low, high - low, spacing, self.radius) + low.astype(np.int32)


class Lasso(Mark, frozen=True, kw_only=True, tag="lasso"):
    """The voxels of slice ``index`` along ``axis`` whose centres a polygon holds, by the even-odd rule.

    ``polygon`` is in canonical indices of the other two axes, in ascending order.
    """

    axis: int
    index: int
    polygon: tuple[tuple[float, float], ...]

    def check(self, grid: Grid) -> None:
        """Raise a :class:`PromptError` if it is not possible in the volume."""
        if self.axis not in (0, 1, 2) or not 0 <= self.index < grid.shape[self.axis]:
            raise PromptError(f"there is no slice {str(self.index)[:20]} across axis {str(self.axis)[:20]}")
        if not 3 <= len(self.polygon) <= MOST_CORNERS:
            raise PromptError(f"a lasso has 3 to {MOST_CORNERS} corners, not {len(self.polygon)}")
        if not np.abs(self.polygon).max() < 1e6:  # NaN is not either
            raise PromptError("the corners of a lasso lie in or near the volume")

    def working(self, grid: Grid) -> np.ndarray:
        """(N, 3) its voxels of the working grid."""
        first, second = (axis for axis in range(3) if axis != self.axis)
        inside = np.argwhere(
            in_polygon(
                np.array(self.polygon),
                grid.centres(first, 0, grid.working_shape[first]),
                grid.centres(second, 0, grid.working_shape[second]),
            )
        )
        voxels = np.full((len(inside), 3), self.index // grid.factors[self.axis], np.int32)
        voxels[:, [first, second]] = inside
        return _thinned(voxels)


class Box(Mark, frozen=True, kw_only=True, tag="box"):
    """The voxels between two corners, both inside."""

    low: Voxel
    high: Voxel

    def check(self, grid: Grid) -> None:
        """Raise a :class:`PromptError` if it is not possible in the volume."""
        grid.check([self.low, self.high])
        if any(low > high for low, high in zip(self.low, self.high)):
            raise PromptError("the low corner of a box is not below the high one")

    def working(self, grid: Grid) -> np.ndarray:
        """(N, 3) its voxels of the working grid."""
        low = np.array(self.low) // grid.factors
        size = np.array(self.high) // grid.factors - low + 1
        count = int(size.prod())
        chosen = np.linspace(0, count - 1, min(count, MOST_VOXELS)).astype(np.int64)
        return (np.stack(np.unravel_index(chosen, tuple(size)), 1) + low).astype(np.int32)


AnyMark = Point | Stroke | Lasso | Box


def in_polygon(polygon: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which points of a lattice a polygon holds: those with an odd number of edges on one side.

    Args:
        polygon: (N, 2) corners.
        first: (A,) ascending coordinates.
        second: (B,) coordinates.

    Returns:
        (A, B) bool.

    Example:
        >>> square = np.array([(0.5, 0.5), (2.5, 0.5), (2.5, 1.5), (0.5, 1.5)])
        >>> in_polygon(square, np.arange(4), np.arange(3)).astype(int).tolist()
        [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]]
    """
    crossings = np.zeros((len(first) + 1, len(second)), np.int32)
    columns = np.arange(len(second))
    for (a, b), (next_a, next_b) in zip(polygon, np.roll(polygon, -1, 0)):
        crossed = (second >= min(b, next_b)) & (second < max(b, next_b))
        if crossed.any():
            at = a + (second[crossed] - b) * (next_a - a) / (next_b - b)
            np.add.at(crossings, (np.searchsorted(first, at), columns[crossed]), 1)
    return np.cumsum(crossings[:-1], 0) % 2 == 1


def dense_path(voxels: Sequence[Voxel]) -> tuple[Voxel, ...]:
    """A path without gaps: a fast pointer skips voxels, the stroke does not.

    Raises:
        PromptError: it is longer than a stroke may be.

    Example:
        >>> dense_path([(0, 0, 0), (2, 1, 0)])
        ((0, 0, 0), (1, 0, 0), (2, 1, 0))
    """
    points = np.asarray(voxels, np.int64)
    if len(points) > MOST_CORNERS or np.abs(np.diff(points, axis=0)).max(1).sum() > MOST_CORNERS:
        raise PromptError(f"a stroke passes at most {MOST_CORNERS} voxels; draw it in parts")
    parts = [points[:1]]
    for start, end in itertools.pairwise(points):
        steps = int(np.abs(end - start).max())
        share = np.arange(1, steps + 1)[:, None] / max(steps, 1)
        parts.append(np.rint(start + share * (end - start)).astype(np.int64))
    path = np.concatenate(parts)
    return tuple(dict.fromkeys(tuple(int(index) for index in voxel) for voxel in path))


def erased(mark: AnyMark, voxel: Voxel, radius: float, grid: Grid, new_id: int) -> AnyMark | None:
    """What is left of a mark after an eraser: itself, a shorter stroke with ``new_id``, or None.

    A point or lasso goes if the ball holds a voxel of it, a box if the ball reaches it, of a stroke the part
    of the path within the ball.

    Args:
        mark: any.
        voxel: centre of the ball, canonical indices.
        radius: of the ball in millimetres.
        grid: of the volume.
        new_id: of what is made.
    """

    def hit(voxels: np.ndarray) -> np.ndarray:
        return np.linalg.norm((voxels - np.array(voxel)) * grid.spacing, axis=1) <= radius

    if isinstance(mark, Stroke):
        left = ~hit(np.array(mark.path))
        if left.all():
            return mark
        path = tuple(place for place, stays in zip(mark.path, left) if stays)
        return msgspec.structs.replace(mark, id=new_id, path=path) if path else None
    if isinstance(mark, Point):
        return None if hit(np.array([mark.voxel])).any() else mark
    if isinstance(mark, Box):
        return None if hit(np.clip(voxel, mark.low, mark.high)[None]).any() else mark
    centres = mark.working(grid) * np.array(grid.factors) + (np.array(grid.factors) - 1) / 2
    centres[:, mark.axis] = mark.index
    return None if hit(centres).any() else mark


def prompt_of(mark: AnyMark, grid: Grid) -> Prompt:
    """What a classifier is told of one mark."""
    kind = type(mark).__struct_config__.tag
    return Prompt(mark.class_id, mark.working(grid), kind, mark.positive)


def without_contradictions(prompts: Sequence[Prompt], grid: Grid) -> list[Prompt]:
    """Where prompts contradict each other on a voxel, the later one holds.

    Args:
        prompts: oldest first.
        grid: of the volume.

    Returns:
        The same without the voxels that are overruled; those that lose none are the same objects.
    """
    if not prompts:
        return []
    counts = [len(prompt.voxels) for prompt in prompts]
    order = np.repeat(np.arange(len(prompts)), counts)
    voxels = np.concatenate([prompt.voxels for prompt in prompts])
    _, place = np.unique(np.ravel_multi_index(tuple(voxels.T), grid.working_shape), return_inverse=True)
    class_of = np.array([prompt.class_id for prompt in prompts])
    positive = np.array([prompt.positive for prompt in prompts])[order]
    classes = class_of[order]
    # The newest positive mark of a voxel overrules older ones for other classes, and those against its class.
    newest = np.full(place.max() + 1, -1)
    np.maximum.at(newest, place[positive], order[positive])
    owner = np.where(newest >= 0, class_of[newest], -1)[place]
    keep = np.where(positive, classes == owner, ~((classes == owner) & (order < newest[place])))
    # A newer mark against a class overrules older ones for it.
    _, pair = np.unique(place * 256 + classes, return_inverse=True)
    against = np.full(pair.max() + 1, -1)
    np.maximum.at(against, pair[~positive], order[~positive])
    keep &= ~(positive & (order < against[pair]))
    kept = np.split(keep, np.cumsum(counts)[:-1])
    return [
        prompt if part.all() else replace(prompt, voxels=prompt.voxels[part])
        for prompt, part in zip(prompts, kept)
        if part.any()
    ]


def _near(path: np.ndarray, shape: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
    """(N, 3) indices within ``radius`` of those of ``path`` in a block of ``shape``."""
    from scipy.ndimage import distance_transform_edt

    away = np.ones(tuple(shape), bool)
    away[tuple(path.T)] = False
    return np.argwhere(distance_transform_edt(away, sampling=spacing) <= radius).astype(np.int32)


def _thinned(voxels: np.ndarray) -> np.ndarray:
    if len(voxels) <= MOST_VOXELS:
        return voxels
    return voxels[np.linspace(0, len(voxels) - 1, MOST_VOXELS).astype(np.int64)]

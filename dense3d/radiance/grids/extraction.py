"""Sampling any radiance field on a grid that follows the axes of the world (NeRF-RPN, arXiv:2211.11646)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.radiance.grids.boxes import grid_shape
from dense3d.radiance.grids.visibility import outside_silhouettes, seen_by
from dense3d.radiance.views import PosedView
from dense3d.structures.radiance_grid import EMPTY_RAW, RadianceGrid

CHUNK = 1 << 17
THROUGH = 2  # photographs that have to see through a place before it is taken for empty
DIRECTIONS = ("cameras", "frustum", "fixed")
PITCHES, YAWS = (-45.0, 0.0, 45.0), 6


class GridSource(Protocol):
    """A radiance field that can be asked anywhere in the world of the photographs.

    Attributes:
        density_kind: ``"relu"`` or ``"raw_exp"``, how its density is stored, see
            :class:`~dense3d.structures.radiance_grid.RadianceGrid`.
    """

    density_kind: str

    def density(self, points: Tensor) -> Tensor:
        """(N,) extinction in 1 / world unit at points (N, 3) float64, not negative."""

    def colors(self, points: Tensor, directions: Tensor) -> Iterator[Tensor]:
        """(N, 3) in 0..1 for each of D viewing directions (D, 3), one after the other."""


@dataclass(frozen=True)
class Cleaning:
    """What was taken for empty, in voxels that had any density.

    Attributes:
        unseen: too few photographs see them.
        see_through: photographs see through them.
    """

    unseen: int
    see_through: int


@torch.no_grad()
def extract_radiance_grid(
    source: GridSource,
    box: np.ndarray,
    resolution: int,
    views: Sequence[PosedView],
    *,
    delta: float | None = None,
    directions: str = "cameras",
    min_views: int = 2,
    near: float = 0.0,
    tell: Callable[[str], None] | None = None,
) -> tuple[RadianceGrid, Cleaning]:
    """Density and mean colour at ``low + i / (n - 1) (high - low)``, both end points included.

    Args:
        source: the field.
        box: (2, 3) corners in the world.
        resolution: samples along its longest side; all sides are even.
        views: photographs of the trajectory. Colours are averaged over their optical axes.
        delta: thickness that opacities are for, in world units; the mean edge of a voxel unless given.
        directions: ``"cameras"``, ``"frustum"`` for those alone that see a point (all where none does), or
            ``"fixed"``: pitches of -45, 0 and 45 degrees in six yaws.
        min_views: what fewer photographs see is empty; 0 keeps all.
        near: nothing is nearer to a camera, in world units.
        tell: is given a line on the way.

    Returns:
        the grid, and what was cleaned.

    Raises:
        ConfigError: an argument is out of range.
        DataError: the field gives a number that is not finite.
    """
    check_options(directions, delta, min_views)
    if min_views > len(views):
        raise ConfigError(f"min_views={min_views}: there are {len(views)} photographs")
    shape = grid_shape(box, resolution)
    axes = [np.linspace(box[0, axis], box[1, axis], shape[axis]) for axis in range(3)]
    values = np.zeros((*shape, 4), np.float32)
    planes = max(1, CHUNK // (shape[1] * shape[2]))
    unseen = through = 0
    for first in range(0, shape[0], planes):
        some = slice(first, first + planes)
        points = np.stack(np.meshgrid(axes[0][some], *axes[1:], indexing="ij"), -1).reshape(-1, 3)
        density = source.density(torch.from_numpy(points)).cpu().numpy().astype(np.float64)
        if not np.isfinite(density).all():
            raise DataError("the field gives densities that are NaN or infinite: fit or train it again")
        solid = np.flatnonzero(density > 0)
        hidden = seen_by(points[solid], views, near) < min_views
        empty = ~hidden & (outside_silhouettes(points[solid], views) >= THROUGH)
        unseen, through = unseen + int(hidden.sum()), through + int(empty.sum())
        density[solid[hidden | empty]] = 0
        solid = solid[~(hidden | empty)]
        flat = values[some].reshape(-1, 4)  # a view: the first axis is cut
        flat[solid, :3] = _mean_colors(source, points[solid], views, directions)
        flat[:, 3] = _stored(density, source.density_kind)
        if tell is not None:
            tell(f"sampled {min(first + planes, shape[0])} of {shape[0]} planes of {shape[1]} x {shape[2]}")
    edge = float(np.mean((box[1] - box[0]) / (np.array(shape) - 1)))
    grid = RadianceGrid(values, *box, density_kind=source.density_kind, delta=delta or edge)
    return grid, Cleaning(unseen, through)


def _stored(density: np.ndarray, kind: str) -> np.ndarray:
    """What a grid of this kind holds of extinctions in 1 / world unit."""
    if kind == "relu":
        return density
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(density), EMPTY_RAW)


def _mean_colors(
    source: GridSource, points: np.ndarray, views: Sequence[PosedView], directions: str
) -> np.ndarray:
    """(N, 3) means over viewing directions."""
    if not len(points):
        return np.empty((0, 3), np.float32)
    if directions == "fixed":
        looks = fixed_directions()
    else:
        looks = np.array([view.camera.rotation[:, 2] for view in views])
    total, count = np.zeros((len(points), 3)), np.zeros(len(points))
    everywhere = np.zeros((len(points), 3))
    colors = source.colors(torch.from_numpy(points), torch.from_numpy(looks))
    for number, color in enumerate(colors):
        found = color.cpu().numpy().astype(np.float64)
        if not np.isfinite(found).all():
            raise DataError("the field gives colours that are NaN or infinite: fit or train it again")
        everywhere += found
        if directions == "frustum":
            index = views[number].seen(points)[0]
            total[index] += found[index]
            count[index] += 1
    mean = everywhere / len(looks)
    mean[count > 0] = total[count > 0] / count[count > 0, None]
    return np.clip(mean, 0, 1)


def fixed_directions() -> np.ndarray:
    """(18, 3) unit viewing directions: pitches of -45, 0 and 45 degrees, six yaws each, z up."""
    pitch = np.repeat(np.radians(PITCHES), YAWS)
    yaw = np.tile(2 * np.pi * np.arange(YAWS) / YAWS, len(PITCHES))
    return np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)


def check_options(directions: str, delta: float | None, min_views: int) -> None:
    """What can be said of the options of :func:`extract_radiance_grid` before there is a field.

    Raises:
        ConfigError: one is out of range.
    """
    if directions not in DIRECTIONS:
        raise ConfigError(f"directions={directions!r} is none of {', '.join(DIRECTIONS)}")
    if delta is not None and not 0 < delta < np.inf:
        raise ConfigError(f"delta={delta}: the thickness is positive and finite, in world units")
    if min_views < 0:
        raise ConfigError(f"min_views={min_views}: it is at least 0")

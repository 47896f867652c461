"""From the numbers of a file to a cloud: range of colours, origin, points that are not finite, up axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dense3d.errors import ConfigError, DataError
from dense3d.structures.cloud_files.columns import whole_numbers
from dense3d.structures.cloud_files.notes import say
from dense3d.structures.point_cloud import TOLERANCE, PointCloud

BYTE, WORD = 255, 65535
DARK = 2.0  # no cloud of bytes is so dark throughout; fractions up to there are colours in 0..1 gone astray
FAR = 8192.0  # metres; up to here float32 is exact to half a millimetre
UP_AXES = ("x", "y", "z")
# The (4, 4) matrix that turns each axis up; the two others stay in a right-handed order.
TO_Z_UP = {
    "x": np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
    "y": np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
}
JUDGED = 100_000  # points that are looked at
LAYER = 0.02  # of the extent: thickness of a floor
FLOOR = 3.0  # a floor has so many times the points that an even cloud would have in its layer


def judged_cloud(
    attributes: Mapping[str, np.ndarray],
    where: str | Path,
    color_max: float | None = None,
    up_axis: str | None = None,
) -> PointCloud:
    """A checked cloud of what a file holds; what was decided or dropped is said.

    Args:
        attributes: arrays by the names of :class:`~dense3d.structures.PointCloud`, colours in any range.
        where: file.
        color_max: what stands for full colour in the file; None tells it by the data.
        up_axis: ``"x"``, ``"y"`` or ``"z"``: the axis that points up in the file, turned to z. None takes z,
            and says so where the shape speaks for y.

    Raises:
        ConfigError: an unknown axis.
        DataError: there is no point with finite coordinates, or colours fit no range.
    """
    if up_axis not in (None, *UP_AXES):
        raise ConfigError(f"up_axis must be one of {', '.join(UP_AXES)}, not {up_axis!r}")
    if not attributes or not len(attributes["points"]):
        raise DataError(f"{where} holds no point; make or copy it again")
    attributes = _without_empty_ones(_finite_rows(attributes, where), where, color_max is not None)
    if "colors" in attributes:
        attributes["colors"] = unit_colors(attributes["colors"], where, color_max)
    if "labels" in attributes:
        attributes["labels"] = whole_numbers(attributes["labels"], where)
    attributes["points"], origin = _near_origin(attributes["points"], where)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        cloud, dropped = PointCloud(**attributes, name=str(where), origin=origin).finite()
    if dropped:
        say(f"{where}: {dropped} points lie too far away for float32 and were dropped")
    if up_axis in TO_Z_UP:
        if any(origin):
            raise DataError(f"{where}: a cloud in map coordinates has z up; leave up_axis out")
        return cloud.transform(TO_Z_UP[up_axis])
    if up_axis is None and looks_y_up(cloud.points):
        say(f"{where}: the shape of the cloud speaks for y up; say up_axis='y' if that is so, 'z' if not")
    return cloud


def _finite_rows(attributes: Mapping[str, np.ndarray], where: str | Path) -> dict[str, np.ndarray]:
    """Without the points whose coordinates, colour or intensity are not finite; their number is said."""
    finite = np.ones(len(attributes["points"]), dtype=bool)
    for name in ("points", "colors", "intensity"):
        if name in attributes:
            values = np.asarray(attributes[name])
            finite &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if finite.all():
        return dict(attributes)
    if not finite.any():
        raise DataError(f"{where}: not one of its {len(finite)} points has finite coordinates")
    dropped = len(finite) - int(finite.sum())
    say(f"{where}: {dropped} of {len(finite)} points are not finite and were dropped")
    return {name: values[finite] for name, values in attributes.items()}


def _without_empty_ones(
    attributes: dict[str, np.ndarray], where: str | Path, colors_are_known: bool
) -> dict[str, np.ndarray]:
    """Without colours and normals that are 0 everywhere, as many programs write what they do not know."""
    for name in ("normals",) if colors_are_known else ("colors", "normals"):
        if name in attributes and not np.any(attributes[name]):
            remedy = "; say color_max=255 if all is black" if name == "colors" else ""
            say(f"{where}: all its {name} are 0, as where none are known, and are left out{remedy}")
            attributes.pop(name)
    return attributes


def unit_colors(colors: np.ndarray, where: str | Path, color_max: float | None = None) -> np.ndarray:
    """Colours of any range in 0..1.

    Numbers of a byte are in 0..255. Of others the greatest one tells: 0..1 if it is at most 1, 0..255 or
    0..65535 if at most that, which is said.

    Args:
        colors: (N, 3).
        where: file.
        color_max: what stands for full colour, where that is known.

    Returns:
        (N, 3) float32.

    Raises:
        DataError: a number is negative or exceeds every range by more than rounding, or it cannot be told
            whether colours exceed 0..1 or are bytes.

    Example:
        >>> unit_colors(np.array([[0, 51, 255]], np.uint8), "a.ply").round(2).tolist()
        [[0.0, 0.20000000298023224, 1.0]]
    """
    colors = np.asarray(colors)
    least, greatest = (float(colors.min()), float(colors.max())) if colors.size else (0.0, 0.0)
    if color_max is None:
        color_max = BYTE if colors.dtype == np.uint8 else _range_of(greatest)
        if color_max == BYTE and greatest < DARK and (colors != np.rint(colors)).any():
            raise DataError(
                f"{where}: the greatest colour is {greatest:g}, too much for 0..1 and too dark for 0..255; "
                "say color_max=255, or what stands for full colour"
            )
        if colors.dtype != np.uint8 and greatest > 0 and color_max is not None:
            say(
                f"{where}: the greatest colour is {greatest:g}, so colours are taken as 0..{color_max:g}; "
                "say color_max=... if they are not"
            )
    beyond = color_max is None or greatest > color_max * (1 + TOLERANCE)
    if beyond or least < -TOLERANCE * color_max:
        raise DataError(
            f"{where}: colours from {least:g} to {greatest:g} are in none of the ranges 0..1, 0..255 and "
            "0..65535; if these columns hold something else, name the columns"
        )
    return np.clip(colors.astype(np.float32) / np.float32(color_max), 0, 1)


def looks_y_up(points: np.ndarray) -> bool:
    """Whether a cloud looks like a room or a street whose y axis points up.

    That is so where the cloud is much lower along y than wide along z, and the points of a floor or a ceiling
    lie in a thin layer across y, at least as many as in one across z.

    Args:
        points: (N, 3).
    """
    points = points[:: max(1, len(points) // JUDGED)]
    extent = np.percentile(points, 99, axis=0) - np.percentile(points, 1, axis=0)
    if len(points) < 100 or (extent <= 0).any() or extent[1] > 0.7 * min(extent[0], extent[2]):
        return False
    _, across_y, across_z = (_fullest_layer(points[:, axis]) for axis in range(3))
    return across_y > FLOOR and across_y > 0.9 * across_z


def _fullest_layer(values: np.ndarray) -> float:
    """Share of the fullest layer at the bottom or top, relative to that of an even cloud."""
    least, greatest = np.percentile(values, (0.5, 99.5))
    histogram, _ = np.histogram(values, bins=round(1 / LAYER), range=(least, greatest))
    ends = np.convolve(histogram, (1, 1), "valid")[[0, 1, 2, -3, -2, -1]]
    return float(ends.max() / len(values) / (2 * LAYER))


def _range_of(greatest: float) -> int | None:
    return next((limit for limit in (1, BYTE, WORD) if greatest <= limit * (1 + TOLERANCE)), None)


def _near_origin(points: np.ndarray, where: str | Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Map coordinates, which float32 does not hold, moved near to the origin."""
    if not len(points) or float(np.abs(points).max()) < FAR or np.asarray(points).dtype == np.float32:
        return points, (0.0, 0.0, 0.0)
    origin = np.floor(np.min(points, axis=0))
    say(f"{where}: coordinates are large, so {origin.tolist()} was subtracted; the cloud's origin keeps it")
    return points - origin, tuple(origin.tolist())

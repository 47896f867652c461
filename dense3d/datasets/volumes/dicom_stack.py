"""Slices into a stack: sorted along their normal, with gaps and uneven steps told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.dicom_slices import DicomSlice
from dense3d.errors import DataError

SAME_PLACE = 0.01  # mm
EVEN = 0.1  # of a step; more is said
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order.

    Args:
        slices: for each place, the images there: one a frame.
        affine: (4, 4) of column, row and slice to RAS+ millimetres.
        placed: whether the files state positions.
        notes: one sentence each.
    """

    slices: tuple[tuple[DicomSlice, ...], ...]
    affine: np.ndarray
    placed: bool
    notes: tuple[str, ...]


def stacked(path: str, series: list[DicomSlice]) -> Stack:
    """Put slices of one size and direction in order.

    Args:
        path: of the folder or file, for messages.
        series: in any order.

    Raises:
        DataError: slices are missing, or places do not hold equally many images.
    """
    if any(item.position is None or item.orientation is None for item in series):
        return _unplaced(series)
    rows, columns = np.array(series[0].orientation).reshape(2, 3)
    normal = np.cross(rows, columns)
    if np.linalg.norm(normal) < 1e-3:
        raise DataError(f"{path}: the directions of its rows and columns coincide; its header is damaged")
    normal /= np.linalg.norm(normal)
    series = sorted(series, key=lambda item: (float(np.dot(item.position, normal)), item.order))
    places = _grouped(series, normal)
    counts = sorted({len(place) for place in places})
    if len(counts) > 1:
        odd = next(place for place in places if len(place) == counts[0])
        raise DataError(
            f"{path}: at some places there are {counts[-1]} images, at others {counts[0]} (such as "
            f"{Path(odd[0].path).name}): the series is incomplete or mixed; copy it again or separate it"
        )
    positions = np.array([place[0].position for place in places])
    notes = _check_steps(path, places, positions @ normal)
    step, tilt = _step(places, positions, normal)
    if tilt > 0.5:
        notes.append(
            f"the gantry was tilted by {tilt:.1f} degrees: slices are sheared, which the affine keeps"
        )
    affine = np.eye(4)
    height, width = series[0].spacing
    affine[:3] = np.stack([rows * width, columns * height, step, positions[0]], 1)
    return Stack(tuple(places), LPS_TO_RAS @ affine, True, tuple(notes))


def _unplaced(series: list[DicomSlice]) -> Stack:
    series = sorted(series, key=lambda item: (item.order[2], item.order[3], item.path))
    height, width = series[0].spacing
    depth = series[0].thickness or 1.0
    note = (
        f"its images state no positions: they were put in the order of their numbers, {depth:g} mm apart, "
        "and left and right are unknown"
    )
    affine = LPS_TO_RAS @ np.diag([width, height, depth, 1.0])
    return Stack(tuple((item,) for item in series), affine, False, (note,))


def _grouped(series: list[DicomSlice], normal: np.ndarray) -> list[tuple[DicomSlice, ...]]:
    """Images of the same place together, by time."""
    places: list[list[DicomSlice]] = []
    last = None
    for item in series:
        position = float(np.dot(item.position, normal))
        if last is None or position - last > SAME_PLACE:
            places.append([])
            last = position
        places[-1].append(item)
    return [tuple(sorted(place, key=lambda item: item.order)) for place in places]


def _step(
    places: list[tuple[DicomSlice, ...]], positions: np.ndarray, normal: np.ndarray
) -> tuple[np.ndarray, float]:
    """(3,) from a slice to the next, and degrees between it and the normal."""
    if len(places) == 1:
        return normal * (places[0][0].thickness or 1.0), 0.0
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    cosine = np.dot(step, normal) / np.linalg.norm(step)
    return step, float(np.degrees(np.arccos(np.clip(abs(cosine), 0, 1))))


def _check_steps(path: str, places: list[tuple[DicomSlice, ...]], along: np.ndarray) -> list[str]:
    """Complain about gaps; say where steps are uneven."""
    steps = np.diff(along)
    if len(steps) < 2:
        return []
    usual = float(np.quantile(steps, 0.25, method="lower"))  # also where many slices are missing
    gaps = [
        (index, round(step / usual) - 1)
        for index, step in enumerate(steps)
        if round(step / usual) >= 2 and abs(step / usual - round(step / usual)) < 2 * EVEN
    ]
    if gaps:
        told = ", ".join(
            f"{count} between slice {index + 1} ({Path(places[index][0].path).name}) and {index + 2} "
            f"({Path(places[index + 1][0].path).name})"
            for index, count in gaps[:4]
        )
        more = f" and at {len(gaps) - 4} more places" if len(gaps) > 4 else ""
        total = sum(count for _, count in gaps)
        raise DataError(
            f"{path}: {total} of {len(places) + total} slices {'is' if total == 1 else 'are'} missing: "
            f"{told}{more}; copy the missing files, or open a series that is complete"
        )
    if (abs(steps - usual) > 0.5 * usual).any():
        raise DataError(
            f"{path}: its slices are unevenly spaced, from {steps.min():.3g} to {steps.max():.3g} mm; "
            "resample the series evenly, or open another"
        )
    if (abs(steps - usual) > EVEN * usual).any():
        return [f"slices are {steps.min():.3g} to {steps.max():.3g} mm apart: they are shown evenly spaced"]
    return []

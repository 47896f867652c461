"""OME-Zarr (NGFF 0.1 to 0.5, Zarr version 2 and 3): a pyramid of resolutions, by the package zarr.

Axes and millimetres come from ``multiscales``. Times and channels are frames. One level of the pyramid is
opened; its grid is the source grid that results go back to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dense3d.datasets.scan.schema import shortened
from dense3d.datasets.volumes.binary import LONGEST_STREAM
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape, millimetres, spacing_affine
from dense3d.datasets.volumes.header import Bounds, VolumeFile, VolumeHeader
from dense3d.datasets.volumes.memory import budget_bytes, readable_size, require_memory
from dense3d.errors import DataError
from dense3d.optional import require


@dataclass(frozen=True)
class _Level:
    """One resolution."""

    name: str
    array: Any
    scale: tuple[float, ...]
    translation: tuple[float, ...]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.array.shape, dtype=object)) * self.array.dtype.itemsize


def open_zarr(path: str, limit: int | None = None) -> VolumeFile:
    """Judge a pyramid by its metadata.

    Args:
        path: a Zarr group or array in a folder.
        limit: the coarsest level that keeps so many voxels an axis is taken; without it the finest that fits
            into memory.

    Raises:
        DataError: it is damaged, no volume, or no level fits.
        MissingDependencyError: zarr is not installed.
    """
    levels, axes, units = _levels(path)
    spatial = [axes.index(axis) for axis in "xyz" if axis in axes]
    level = _chosen(path, levels, spatial, limit)
    sizes = level.array.shape
    if len(sizes) != len(axes):
        raise DataError(
            f"{path}: its metadata describe {len(axes)} axes, but {level.name} has {len(sizes)}; correct them"
        )
    shape = checked_shape(path, [sizes[axis] for axis in spatial])
    _check_chunks(path, level)
    notes = []
    if len(levels) > 1:
        number = levels.index(level)
        text = " x ".join(map(str, shape))
        notes.append(f"level {number} of {len(levels)} resolutions is open: {text} voxels")
    scales = [millimetres(units[axis]) for axis in spatial]
    if None in scales:
        notes.append("its axes state no unit of length: they are taken as millimetres")
    scales = [scale or 1.0 for scale in scales]
    spacing = [level.scale[axis] * scale for axis, scale in zip(spatial, scales)]
    origin = [level.translation[axis] * scale for axis, scale in zip(spatial, scales)]
    lead = [axis for axis in range(len(axes)) if axis not in spatial]
    header = VolumeHeader(
        path,
        "OME-Zarr",
        shape,
        np.dtype(level.array.dtype),
        checked_affine(path, spacing_affine(spacing, origin)),
        checked_shape(path, (int(np.prod([sizes[axis] for axis in lead], dtype=object)), 1, 1), "frames")[0],
        notes=tuple(notes),
        placed=len(levels) > 0 and levels[0].name != "",
    )

    def slabs(frame: int, bounds: Bounds) -> Iterator[np.ndarray]:
        places = list(np.unravel_index(frame, [sizes[axis] for axis in lead])) if lead else []
        for start, stop in bounds:
            index: list = [slice(None)] * len(sizes)
            for axis, place in zip(lead, places):
                index[axis] = int(place)
            index[spatial[2]] = slice(start, stop)
            piece = np.asarray(level.array[tuple(index)])
            kept = sorted(spatial)
            yield piece.transpose([kept.index(axis) for axis in spatial])

    return VolumeFile(header, 2, slabs)


def _levels(path: str) -> tuple[list[_Level], str, list[str | None]]:
    """Resolutions, the finest first, the names of their axes, one letter each, and units."""
    zarr = require("zarr", "reading OME-Zarr")
    try:
        node = zarr.open(path, mode="r")
    except (FileNotFoundError, ValueError) as error:  # ValueError: zarr 2
        raise DataError(f"{path}: it is no folder with a Zarr group or array; copy it again") from error
    if hasattr(node, "shape"):
        axes = "tczyx"[-len(node.shape) :]
        ones = (1.0,) * len(axes)
        return [_Level("", node, ones, (0.0,) * len(axes))], axes, [None] * len(axes)
    found = _multiscales(node)
    if found is None:
        raise DataError(
            f"{path}: this Zarr group has no multiscales, so it is no OME-Zarr image; open one inside it"
        )
    node, multiscale = found
    described = [
        {"name": axis} if isinstance(axis, str) else dict(axis) for axis in multiscale.get("axes") or "tczyx"
    ]
    names = "".join(str(axis.get("name", "?")).lower()[:1] or "?" for axis in described)
    if len(set(names)) != len(names) or not set("xy") <= set(names):
        raise DataError(
            f"{path}: its axes are called {shortened(names)}, which are no axes of a volume; correct the "
            "metadata"
        )
    units = [axis.get("unit") for axis in described]
    levels = []
    for dataset in multiscale.get("datasets") or []:
        array = node[str(dataset["path"])]
        transformations = [
            *(dataset.get("coordinateTransformations") or []),
            *(multiscale.get("coordinateTransformations") or []),
        ]
        levels.append(_Level(str(dataset["path"]), array, *_transformed(path, transformations, len(names))))
    if not levels:
        raise DataError(f"{path}: its multiscales list no datasets; write the image again")
    return levels, names, units


def _multiscales(node: Any) -> tuple[Any, dict] | None:
    """The group that is an image, itself or the first of a collection, and its description."""
    candidates = [node]
    if "0" in node and not hasattr(node["0"], "shape"):
        candidates.append(node["0"])
    for candidate in candidates:
        attributes = dict(candidate.attrs)
        described = (attributes.get("ome") or attributes).get("multiscales")
        if described:
            return candidate, described[0]
    return None


def _transformed(path: str, transformations: list[dict], count: int) -> tuple[tuple, tuple]:
    """Scale and translation of an axis after all transformations."""
    scale, translation = np.ones(count), np.zeros(count)
    for step in transformations:
        kind = step.get("type")
        if kind not in ("scale", "translation"):
            continue
        values = np.array(step.get(kind), float)
        if values.shape != (count,):
            raise DataError(
                f"{path}: a {kind} in its metadata has {values.size} numbers for {count} axes; correct it"
            )
        if kind == "scale":
            scale, translation = scale * values, translation * values
        else:
            translation = translation + values
    return tuple(scale), tuple(translation)


def _chosen(path: str, levels: list[_Level], spatial: list[int], limit: int | None) -> _Level:
    """By the limit, else by memory."""
    if len(spatial) < 3:
        raise DataError(f"{path}: it has no axes x, y and z, so it is no volume; open a stack")

    def keeps(level: _Level) -> bool:
        full = levels[0].array.shape
        return all(level.array.shape[axis] >= min(limit, full[axis]) for axis in spatial)

    if limit is not None:
        return [level for level in levels if keeps(level)][-1]
    fitting = [level for level in levels if _frame_bytes(level, spatial) <= budget_bytes()]
    return fitting[0] if fitting else levels[-1]


def _frame_bytes(level: _Level, spatial: list[int]) -> int:
    voxels = int(np.prod([level.array.shape[axis] for axis in spatial], dtype=object))
    return voxels * level.array.dtype.itemsize


def _check_chunks(path: str, level: _Level) -> None:
    """A chunk is decompressed whole: it must fit, and all of them must end some day."""
    if level.bytes > LONGEST_STREAM:
        raise DataError(
            f"{path}: its level {level.name} has {readable_size(level.bytes)}, more than "
            f"{readable_size(LONGEST_STREAM)}; add coarser levels, or open it with a limit"
        )
    shape = getattr(level.array, "shards", None) or level.array.chunks
    require_memory(path, int(np.prod(shape, dtype=object)) * level.array.dtype.itemsize)

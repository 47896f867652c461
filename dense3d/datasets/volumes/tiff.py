"""TIFF stacks: one file of many pages, or a folder with one file a slice; by tifffile.

Columns are x, rows are y, pages are z: TIFF states no directions. Metadata of ImageJ or OME give the spacing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.volumes.failures import reason
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape, millimetres, spacing_affine
from dense3d.datasets.volumes.header import Bounds, VolumeFile, VolumeHeader
from dense3d.datasets.volumes.memory import readable_size
from dense3d.datasets.volumes.values import LUMA
from dense3d.errors import DataError
from dense3d.optional import require

LZW = 5  # of tags: a compression
EXPANSION = 5000  # of compressed pages
MOST_FILES = 50_000
DEPTH_AXES = "ZIQTR"  # which of tifffile's axes may be the third of space, the likeliest first
SIDES = "the file states no directions: columns are x, rows are y, pages are z"


def open_tiff(path: str) -> VolumeFile:
    """Judge a stack by its tags.

    Raises:
        DataError: it is damaged, truncated, no volume, or slices of a folder differ.
        MissingDependencyError: tifffile is not installed.
    """
    require("tifffile", "reading TIFF")
    return _open_folder(path) if Path(path).is_dir() else _open_stack(path)


def _open_stack(path: str) -> VolumeFile:
    tifffile = require("tifffile")
    with tifffile.TiffFile(path) as file:
        if not file.series:
            raise DataError(f"{path}: it holds no images; copy the file again")
        series, notes = _series_of(path, file)
        axes, sizes = series.axes, tuple(int(size) for size in series.shape)
        if len(axes) != len(sizes) or "Y" not in axes or "X" not in axes:
            raise DataError(f"{path}: its axes {axes} are no stack of images; save it as a plain stack")
        samples = sizes[axes.index("S")] if "S" in axes else 1
        depth = next((axis for axis in DEPTH_AXES if axis in axes and sizes[axes.index(axis)] > 1), None)
        if depth is None and samples == 1:
            depth = "C" if "C" in axes else None
        wanted = {axis: sizes[axes.index(axis)] for axis in axes}
        shape = checked_shape(path, (wanted["X"], wanted["Y"], wanted.get(depth or "", 1)))
        lead = [(axis, size) for axis, size in zip(axes, sizes) if axis not in "YXS"]
        frames = int(np.prod([size for axis, size in lead if axis != depth], dtype=object))
        spacing, told = _spacing(file)
        _check_pages(path, series)
        dtype, contiguous = np.dtype(series.dtype), series.dataoffset is not None
        dtype = dtype.newbyteorder(file.byteorder) if contiguous else dtype.newbyteorder("=")
        offset = series.dataoffset
    if samples > 1:
        notes.append("its pixels are colours: their luminance is shown")
    notes += [*told, SIDES]
    pages = _Pages(path, tuple(lead), depth, axes, sizes, dtype, offset)
    header = VolumeHeader(
        path,
        "TIFF",
        shape,
        dtype if samples == 1 else np.dtype(np.uint8 if dtype.itemsize == 1 else np.float32),
        checked_affine(path, spacing_affine(spacing)),
        checked_shape(path, (frames, 1, 1), "frames")[0],
        notes=tuple(notes),
        placed=False,
    )
    return VolumeFile(header, 2, pages.slabs, pages.mapped if contiguous and samples == 1 else None)


def _series_of(path: str, file: Any) -> tuple[Any, list[str]]:
    """The first series of images, and what a person should know of others.

    Pages that were written one after the other are a series each; where all are alike they are one stack.

    Raises:
        DataError: they are not alike.
    """
    tifffile = require("tifffile")
    first = file.series[0]
    if len(file.series) == 1:
        return first, []
    if len(first.pages) > 1:
        sizes = " x ".join(map(str, first.shape))
        return first, [f"the file holds {len(file.series)} series of images: the first is open, {sizes}"]
    pages = [file.pages[number].aspage() for number in range(len(file.pages))]
    kinds = [(page.shape, page.dtype) for page in pages]
    odd = next((number for number, kind in enumerate(kinds) if kind != kinds[0]), None)
    if odd is not None:
        told = [f"{' x '.join(map(str, shape[1::-1]))} {dtype}" for shape, dtype in (kinds[0], kinds[odd])]
        raise DataError(
            f"{path}: its page 1 is {told[0]}, but page {odd + 1} is {told[1]}: pages of one stack are "
            "alike; save the slices alone"
        )
    shape, axes = (len(pages), *pages[0].shape), f"I{pages[0].axes}"
    return tifffile.TiffPageSeries(pages, shape, pages[0].dtype, axes, parent=file, kind="generic"), []


class _Pages:
    """The planes of a series, mapped where they lie side by side, else page by page."""

    def __init__(
        self,
        path: str,
        lead: tuple,
        depth: str | None,
        axes: str,
        sizes: tuple,
        dtype: np.dtype,
        offset: int | None,
    ) -> None:
        self.path, self.lead, self.depth, self.axes, self.sizes = path, lead, depth, axes, sizes
        self.dtype, self.offset = dtype, offset

    def _index(self, frame: int) -> list:
        """Along the leading axes: everything along the depth, one place along the others."""
        others = [size for axis, size in self.lead if axis != self.depth]
        places = list(np.unravel_index(frame, others)) if others else []
        return [slice(None) if axis == self.depth else int(places.pop(0)) for axis, _ in self.lead]

    def mapped(self, frame: int) -> np.ndarray:
        """(X, Y, Z) memory map."""
        array = np.memmap(self.path, self.dtype, "r", self.offset, self.sizes)
        return array[tuple(self._index(frame))].transpose(2, 1, 0)

    def slabs(self, frame: int, bounds: Bounds) -> Iterator[np.ndarray]:
        """Pieces along z; colours become luminance."""
        if self.offset is not None and "S" not in self.axes:
            mapped = self.mapped(frame)
            for start, stop in bounds:
                yield mapped[:, :, start:stop]
            return
        tifffile = require("tifffile")
        with tifffile.TiffFile(self.path) as file:
            pages = _series_of(self.path, file)[0].pages
            sizes = [size for _, size in self.lead]
            numbers = np.arange(int(np.prod(sizes))).reshape(sizes)[tuple(self._index(frame))]
            for start, stop in bounds:
                planes = [_plane(self.path, pages[int(number)], self.axes) for number in numbers[start:stop]]
                yield np.stack(planes, 2)


def _plane(path: str, page: Any, axes: str = "YX") -> np.ndarray:
    """(X, Y) of a page."""
    try:
        plane = page.asarray()
    except Exception as error:
        needs_package = "imagecodecs" in str(error)
        plane = _by_pillow(path, page) if needs_package else None
        if plane is None:
            hint = ": pip install imagecodecs" if needs_package else ""
            raise DataError(
                f"{path}: a page cannot be read ({reason(error)}{hint}); copy the file again or save it "
                "uncompressed"
            ) from error
    if plane.ndim == 3:
        if axes.index("S") < axes.index("Y"):
            plane = np.moveaxis(plane, 0, -1)
        luminance = plane[..., :3].astype(np.float32) @ np.array(LUMA, np.float32)[: plane.shape[-1]]
        plane = np.rint(luminance).astype(np.uint8) if plane.dtype == np.uint8 else luminance
    return plane.T


def _by_pillow(path: str, page: Any) -> np.ndarray | None:
    """Samples of an LZW page, for which tifffile wants imagecodecs; None where Pillow changes their type.

    Pillow is there anyway; imagecodecs, of which this needs a thousandth, is not asked for.
    """
    from dense3d.image_files import open_image

    if page.compression != LZW:
        return None
    try:
        with open_image(path) as image:
            image.seek(page.index)
            plane = np.asarray(image)
    except Exception:
        return None
    is_wider = page.dtype == np.int16 and plane.dtype == np.int32  # as Pillow has them
    if plane.shape != page.shape or not (is_wider or plane.dtype.newbyteorder("=") == page.dtype):
        return None
    return plane.astype(page.dtype)


def _check_pages(path: str, series: Any) -> None:
    """Judge declared sizes by the bytes that are there."""
    size, declared = (
        Path(path).stat().st_size,
        int(np.prod(series.shape, dtype=object)) * series.dtype.itemsize,
    )
    most = size if series.dataoffset is not None else size * EXPANSION
    if declared > most:
        raise DataError(
            f"{path}: its tags declare {readable_size(declared)} of samples but the file has only "
            f"{readable_size(size)}: it is truncated or damaged; copy it again"
        )
    for page in series.pages:
        if page is None:
            raise DataError(f"{path}: pages of its stack are missing; copy the file again")
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts)]
        if max(ends, default=0) > size:
            raise DataError(f"{path}: it ends before its samples: it is truncated; copy it again")
        if series.dataoffset is not None:
            break


def _spacing(file: Any) -> tuple[tuple[float, float, float], list[str]]:
    """Millimetres along x, y, z, and what a person should know."""
    if file.ome_metadata:
        return _ome_spacing(file.ome_metadata)
    imagej, tags = file.imagej_metadata or {}, file.pages[0].tags
    unit = str(imagej.get("unit", "")).replace("\\u00B5", "\u00b5")
    scale = millimetres(unit)
    if scale is None or "XResolution" not in tags:
        return (1.0, 1.0, 1.0), ["the file states no spacing: voxels are taken as cubes of 1 mm"]
    steps = []
    for name in ("XResolution", "YResolution"):
        count, units = tags[name].value if name in tags else (1, 1)
        steps.append(scale * units / count if count and units else 1.0)
    return (*steps, float(imagej.get("spacing", 1.0)) * scale), []


def _ome_spacing(text: str) -> tuple[tuple[float, float, float], list[str]]:
    steps, unknown = [], []
    for axis in "XYZ":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', text)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', text)
        scale = millimetres(unit.group(1) if unit else "um")
        try:
            steps.append(float(size.group(1)) * (scale or 1.0))
        except (AttributeError, ValueError):
            unknown.append(axis.lower())
            steps.append(None)
    known = [step for step in steps if step]
    filled = tuple(step or (known[0] if known else 1.0) for step in steps)
    return filled, [f"the file states no spacing along {', '.join(unknown)}"] if unknown else []


def _open_folder(path: str) -> VolumeFile:
    tifffile = require("tifffile")
    files = sorted(
        (file for file in Path(path).iterdir() if file.name.lower().endswith((".tif", ".tiff"))), key=_natural
    )
    if len(files) > MOST_FILES:
        raise DataError(f"{path}: {len(files)} files are too many for a stack; choose a folder further down")
    first, notes = None, []
    for file in files:
        with tifffile.TiffFile(file) as opened:
            series = opened.series[0]
            found = (tuple(series.shape), np.dtype(series.dtype), series.axes)
            if len(opened.pages) > 1:
                raise DataError(
                    f"{path}: {file.name} is a stack of its own; open that file, or keep one slice a file"
                )
            _check_pages(str(file), series)
            if first is None:
                first, (spacing, notes) = found, _spacing(opened)
        if found != first:
            sizes = [" x ".join(map(str, item[0][::-1])) + f" {item[1]}" for item in (found, first)]
            raise DataError(
                f"{path}: {file.name} is {sizes[0]}, but {files[0].name} is {sizes[1]}; remove or convert it"
            )
    (sizes, dtype, axes), colours = first, "S" in first[2]
    shape = checked_shape(path, (sizes[axes.index("X")], sizes[axes.index("Y")], len(files)))
    notes = [*notes, *_jumps(files), SIDES]
    if colours:
        notes.insert(0, "its pixels are colours: their luminance is shown")
        dtype = np.dtype(np.uint8 if dtype == np.uint8 else np.float32)

    def slabs(frame: int, bounds: Bounds) -> Iterator[np.ndarray]:
        for start, stop in bounds:
            planes = []
            for file in files[start:stop]:
                with tifffile.TiffFile(file) as opened:
                    planes.append(_plane(str(file), opened.pages[0], axes))
            yield np.stack(planes, 2)

    affine = checked_affine(path, spacing_affine(spacing))
    header = VolumeHeader(
        path, "TIFF", shape, dtype.newbyteorder("="), affine, notes=tuple(notes), placed=False
    )
    return VolumeFile(header, 2, slabs)


def _natural(file: Path) -> list:
    """Numbers in names by value: slice 2 before slice 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", file.name)]


def _jumps(files: list[Path]) -> list[str]:
    """Where the last numbers of names leave something out."""
    numbers = [re.findall(r"\d+", file.stem) for file in files]
    if not all(numbers):
        return []
    values = np.array([int(found[-1][-15:]) for found in numbers])
    gaps = np.flatnonzero(np.diff(values) != (np.diff(values).min() if len(values) > 1 else 1))
    if len(gaps) == 0:
        return []
    place = gaps[0]
    return [
        f"slices may be missing between {files[place].name} and {files[place + 1].name}"
        + (f" and at {len(gaps) - 1} more places" if len(gaps) > 1 else "")
    ]

"""Read a segmentation of any format and bring it to the grid of a volume."""

from __future__ import annotations

import os

import numpy as np

from dense3d.datasets.volumes.dicom_seg import is_dicom_seg
from dense3d.datasets.volumes.dicom_seg_reading import read_dicom_seg
from dense3d.datasets.volumes.failures import told_of
from dense3d.datasets.volumes.header import VolumeFile
from dense3d.datasets.volumes.loading import load_labels
from dense3d.datasets.volumes.opening import open_file
from dense3d.datasets.volumes.seg_nrrd import stated_segments
from dense3d.datasets.volumes.segmentation import Color, Segmentation, checked_labels, described
from dense3d.errors import DataError
from dense3d.structures.volume import Volume


def read_segmentation(path: str | os.PathLike, volume: Volume) -> Segmentation:
    """Labels of a file on the full grid of a volume, in its axis order.

    A file of another grid is resampled by both affines: each voxel takes the label nearest to its centre. One
    that states no place must have the shape of the volume's file.

    Args:
        path: a labelmap in any format that :func:`~dense3d.datasets.volumes.open_volume` reads,
            ``.seg.nrrd`` with names, colours and layers, or DICOM SEG.
        volume: to which it belongs.

    Raises:
        DataError: the file is damaged, holds no labels, or lies elsewhere.
    """
    path = os.fspath(path)
    with told_of(path, "segmentation"):
        if is_dicom_seg(path):
            return read_dicom_seg(path, volume)
        file = open_file(path, None)
        stated = stated_segments(file.header.details.get("fields", {}))
        if stated:
            labels, names, colors, notes = _merge_layers(file, stated)
        else:
            labels, names, colors, notes = load_labels(file, 0), {}, {}, []
            if file.header.frames > 1:
                notes.append(f"the file holds {file.header.frames} frames: frame 0 was taken")
        if labels.min() < 0 or labels.max() > 65535:
            raise DataError(
                f"{path}: its values from {labels.min()} to {labels.max()} are no labels, which are "
                "integers of 0 to 65535; choose a segmentation"
            )
        labels = checked_labels(labels)
        placed, placing = on_grid_of(volume, labels, file.header.affine, path, file.header.placed)
        found = described(placed, names, colors)
        return Segmentation(
            placed,
            {label: name for label, name, _ in found},
            {label: color for label, _, color in found},
            (*notes, *placing),
        )


def _merge_layers(
    file: VolumeFile, stated: list[tuple[int, int, str, Color]]
) -> tuple[np.ndarray, dict[int, str], dict[int, Color], list[str]]:
    """Labels of all layers, the first segment winning, with names and colours."""
    path, frames, notes = file.header.path, file.header.frames, []
    values = [value for _, value, _, _ in stated]
    keep = len(set(values)) == len(values) and max(values) < 65536 and min(values) > 0
    if keep and frames == 1 and not any(layer for layer, _, _, _ in stated):
        names = {value: name for _, value, name, _ in stated}
        return load_labels(file, 0), names, {value: color for _, value, _, color in stated}, notes
    if not keep:
        notes.append("labels of its layers coincide: segments were numbered anew")
    layers: dict[int, np.ndarray] = {}
    labels = np.zeros(file.header.shape, np.uint16)
    names, colors, lost = {}, {}, 0
    for number, (layer, value, name, color) in enumerate(stated, 1):
        if layer >= frames:
            raise DataError(
                f"{path}: segment {name!r} lies in layer {layer} of {frames}; correct its Layer field"
            )
        if layer not in layers:
            layers[layer] = load_labels(file, layer)
        label = value if keep else number
        mask = layers[layer] == value
        lost += int((mask & (labels > 0)).sum())
        labels[mask & (labels == 0)] = label
        names[label], colors[label] = name, color
    if lost:
        notes.append(f"segments overlap in {lost} voxels, which were given to the first of them")
    return labels, names, colors, notes


def on_grid_of(
    volume: Volume, labels: np.ndarray, affine: np.ndarray, path: str, placed: bool = True
) -> tuple[np.ndarray, list[str]]:
    """Labels of a grid -> those of a volume's full grid, and what a person should know.

    Args:
        volume: the target.
        labels: (X, Y, Z).
        affine: (4, 4) of the labels' grid.
        path: of their file, for messages.
        placed: whether the file states the affine.

    Raises:
        DataError: no labelled voxel lies in the volume, or an unplaced file has another shape.
    """
    source = volume.source
    same_shape = labels.shape == tuple(source.shape)
    if same_shape and not placed:
        return volume.from_source(labels), [
            "the file states no place: voxels were taken in the volume's own order"
        ]
    if same_shape and np.allclose(affine, source.affine, atol=1e-3 * min(volume.spacing)):
        return volume.from_source(labels), []
    if same_shape and _is_forgotten(affine) and not _is_forgotten(source.affine):
        return volume.from_source(labels), [
            "its affine is the identity, as tools write that lost it: voxels were taken in the volume's "
            "own order"
        ]
    own = " x ".join(map(str, labels.shape))
    other = " x ".join(map(str, source.shape))
    if not placed:
        raise DataError(
            f"{path}: it has {own} voxels and states no place, but {volume.name} has {other}; export it as "
            "NIfTI or NRRD"
        )
    result = _nearest(volume, labels, affine)
    wanted = int(np.count_nonzero(labels))
    if wanted and not result.any():
        raise DataError(
            f"{path}: none of its labelled voxels lies inside {volume.name}; it belongs to another scan, or "
            "its affine was lost"
        )
    return result, [
        f"its grid of {own} voxels differs from the volume's of {other}: labels were resampled (nearest)"
    ]


def _is_forgotten(affine: np.ndarray) -> bool:
    """Whether it is the identity, as RAS or as LPS."""
    return bool((np.abs(affine) == np.eye(4)).all())


def _nearest(volume: Volume, labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The label nearest to the centre of each voxel of the full grid; 0 outside."""
    full = volume.source.affine @ volume.order.index_affine(volume.source.shape)
    matrix = np.linalg.inv(affine) @ full
    rotation = np.abs(matrix[:3, :3])
    along = rotation.argmax(1)
    off_axis = rotation.sum(1) - rotation.max(1)
    if len(set(along)) == 3 and (off_axis * max(volume.full_shape) < 0.01).all():
        return _nearest_along_axes(labels, matrix, along, volume.full_shape)
    result = np.zeros(volume.full_shape, labels.dtype)
    x, y = np.meshgrid(*(np.arange(size) for size in result.shape[:2]), indexing="ij")
    plane = matrix[:3, 0, None, None] * x + matrix[:3, 1, None, None] * y + matrix[:3, 3, None, None]
    sizes = np.array(labels.shape)[:, None, None]
    for z in range(result.shape[2]):
        index = _rounded(plane + matrix[:3, 2, None, None] * z)
        within = ((index >= 0) & (index < sizes)).all(0)
        result[:, :, z][within] = labels[tuple(index[:, within])]
    return result


def _nearest_along_axes(
    labels: np.ndarray, matrix: np.ndarray, along: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """The same where the axes of both grids are parallel: one list of indices an axis.

    Args:
        labels: (X, Y, Z).
        matrix: (4, 4) from an index of the target to one of the labels.
        along: which axis of the target each axis of the labels runs along.
        shape: of the target.
    """
    result = np.zeros(shape, labels.dtype)
    taken, placed = [], [None, None, None]
    for axis, target in enumerate(along):
        index = _rounded(matrix[axis, target] * np.arange(shape[target]) + matrix[axis, 3])
        places = np.flatnonzero((index >= 0) & (index < labels.shape[axis]))
        taken.append(index[places])
        placed[target] = places
    moved = labels[np.ix_(*taken)].transpose([list(along).index(target) for target in range(3)])
    result[np.ix_(*placed)] = moved
    return result


def _rounded(index: np.ndarray) -> np.ndarray:
    """The nearest integers; of two equally near ones the larger."""
    return np.floor(index + (0.5 + 1e-6)).astype(np.int64)

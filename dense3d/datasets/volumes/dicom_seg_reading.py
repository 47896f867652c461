"""Read DICOM segmentations: frame by frame onto the volume's slices where they coincide, else by affines."""

from __future__ import annotations

import numpy as np

from dense3d.datasets.volumes.dicom_stack import LPS_TO_RAS
from dense3d.datasets.volumes.memory import require_memory
from dense3d.datasets.volumes.segmentation import Color, Segmentation, default_color, default_name
from dense3d.errors import DataError
from dense3d.optional import require
from dense3d.structures.volume import Volume


def read_dicom_seg(path: str, volume: Volume) -> Segmentation:
    """Labels of a DICOM SEG file on the full grid of a volume, in its axis order.

    Args:
        path: the file.
        volume: any, not only a DICOM series.

    Raises:
        DataError: it is damaged, or none of its segments lies in the volume.
    """
    pydicom = require("pydicom", "reading DICOM SEG")
    data = pydicom.dcmread(path)
    frames = int(data.get("NumberOfFrames") or 1)
    require_memory(path, 2 * frames * int(data.Rows) * int(data.Columns))
    names, colors = _described(data)
    pixels = np.atleast_3d(data.pixel_array)
    pixels = data.pixel_array[None] if data.pixel_array.ndim == 2 else pixels
    if len(pixels) != frames or len(data.PerFrameFunctionalGroupsSequence) != frames:
        raise DataError(f"{path}: it declares {frames} frames and holds {len(pixels)}; copy the file again")
    notes = []
    if data.get("SegmentationType") == "FRACTIONAL":
        pixels = pixels >= int(data.get("MaximumFractionalValue", 255)) / 2
        notes.append("its segments are fractional: voxels of at least one half were taken")
    placed = _pasted(volume, data, pixels)
    if placed is None:
        placed = _resampled(path, volume, data, pixels)
        notes.append("its slices are not those of the volume: labels were resampled (nearest)")
    labels, overlap = placed
    if overlap:
        notes.append(f"segments overlap in {overlap} voxels, which were given to the first of them")
    if not labels.any():
        raise DataError(f"{path}: none of its segments lies inside {volume.name}; it belongs to another scan")
    return Segmentation(volume.from_source(labels), names, colors, tuple(notes))


def _described(data: object) -> tuple[dict[int, str], dict[int, Color]]:
    names, colors = {}, {}
    for segment in data.SegmentSequence:
        number = int(segment.SegmentNumber)
        if number == 0:
            continue  # the background of a labelmap
        names[number] = str(segment.get("SegmentLabel") or default_name(number))
        colors[number] = _color(segment.get("RecommendedDisplayCIELabValue"), number)
    return names, colors


def _color(lab: object, number: int) -> Color:
    """CIELab as DICOM scales it to 16 bits (PS3.3 C.10.7.1.1) -> red, green, blue of 0 .. 1."""
    if lab is None or len(lab) != 3:
        return default_color(number)
    color = require("skimage.color", "colours of DICOM SEG")
    lightness, a, b = (float(part) for part in lab)
    scaled = [lightness / 65535 * 100, a / 65535 * 255 - 128, b / 65535 * 255 - 128]
    return tuple(float(part) for part in np.clip(color.lab2rgb(np.array([[scaled]]))[0, 0], 0, 1))


def _frame_geometry(data: object, frame: int) -> tuple[int | None, np.ndarray, float | None]:
    """Segment of a frame (None: its values tell), (4, 4) column, row and depth to RAS+, and the slice "
    "step."""
    group, shared = data.PerFrameFunctionalGroupsSequence[frame], data.SharedFunctionalGroupsSequence[0]

    def part(sequence: str) -> object:
        return (group.get(sequence) or shared.get(sequence) or [None])[0]

    identification = part("SegmentIdentificationSequence")
    segment = None if identification is None else int(identification.ReferencedSegmentNumber)
    orientation = np.array(part("PlaneOrientationSequence").ImageOrientationPatient, float).reshape(2, 3)
    measures = part("PixelMeasuresSequence")
    height, width = (float(step) for step in measures.PixelSpacing)
    step = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = orientation[0] * width, orientation[1] * height
    affine[:3, 2] = np.cross(*orientation) * float(step or 1)
    affine[:3, 3] = np.array(part("PlanePositionSequence").ImagePositionPatient, float)
    return segment, LPS_TO_RAS @ affine, step


def _pasted(volume: Volume, data: object, pixels: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Labels of the file's own grid where every frame is one of its slices."""
    shape, inverse = volume.source.shape, np.linalg.inv(volume.source.affine)
    if tuple(pixels.shape[2:0:-1]) != tuple(shape[:2]):
        return None
    placed = []
    for frame in range(len(pixels)):
        segment, affine, _ = _frame_geometry(data, frame)
        index = inverse @ affine
        slice_index = round(float(index[2, 3]))
        expected = np.zeros((3, 3))
        expected[0, 0] = expected[1, 1] = 1
        expected[2, 2] = slice_index
        if not np.allclose(index[:3, [0, 1, 3]], expected, atol=0.02) or not 0 <= slice_index < shape[2]:
            return None
        placed.append((segment, slice_index))
    labels, overlap = np.zeros(shape, np.uint16), 0
    for frame in sorted(range(len(pixels)), key=lambda frame: placed[frame][0] or 0):
        segment, slice_index = placed[frame]
        overlap += _paint(labels[:, :, slice_index], pixels[frame].T, segment)
    return labels, overlap


def _paint(target: np.ndarray, plane: np.ndarray, segment: int | None) -> int:
    """Mark a frame where nothing is marked yet; how many voxels were taken already."""
    values = plane.astype(np.uint16) if segment is None else (plane > 0) * np.uint16(segment)
    taken = (target > 0) & (values > 0)
    np.copyto(target, values, where=~taken & (values > 0))
    return int(taken.sum())


def _resampled(path: str, volume: Volume, data: object, pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels of the file's own grid: each voxel takes the frame that its centre lies in."""
    labels, overlap = np.zeros(volume.source.shape, np.uint16), 0
    order = sorted(range(len(pixels)), key=lambda frame: _frame_geometry(data, frame)[0] or 0)
    steps = _slice_step(data, len(pixels))
    for frame in order:
        segment, affine, _ = _frame_geometry(data, frame)
        affine[:3, 2] *= steps / max(np.linalg.norm(affine[:3, 2]), 1e-9)
        box, index = _voxels_of(volume, affine, pixels.shape[1:])
        if box is None:
            continue
        inside, column, row = index
        values = np.zeros(inside.shape, pixels.dtype)
        values[inside] = pixels[frame][row[inside], column[inside]]
        overlap += _paint(labels[box], values, segment)
    return labels, overlap


def _slice_step(data: object, frames: int) -> float:
    """Millimetres between neighbouring frames of the file, as positions tell, else as stated."""
    affines = [_frame_geometry(data, frame)[1] for frame in range(frames)]
    normal = affines[0][:3, 2] / max(np.linalg.norm(affines[0][:3, 2]), 1e-9)
    along = np.unique(np.round([affine[:3, 3] @ normal for affine in affines], 3))
    return float(np.diff(along).min()) if len(along) > 1 else float(np.linalg.norm(affines[0][:3, 2]))


def _voxels_of(volume: Volume, affine: np.ndarray, size: tuple[int, int]) -> tuple:
    """The box of the file's grid around a frame, and which of its voxels lie in the frame, with column "
    "and row."""
    rows, columns = size
    to_voxel = np.linalg.inv(volume.source.affine) @ affine
    corners = np.array(
        [(c, r, d, 1) for c in (-0.5, columns - 0.5) for r in (-0.5, rows - 0.5) for d in (-0.5, 0.5)]
    )
    reached = (to_voxel @ corners.T)[:3]
    low = np.maximum(np.floor(reached.min(1)), 0).astype(int)
    high = np.minimum(np.ceil(reached.max(1)) + 1, volume.source.shape).astype(int)
    if (low >= high).any():
        return None, None
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high)), indexing="ij"))
    inverse = np.linalg.inv(to_voxel)
    index = np.tensordot(inverse[:3, :3], grid, 1) + inverse[:3, 3, None, None, None]
    column, row = (np.floor(part + 0.5 + 1e-6).astype(int) for part in index[:2])
    depth = index[2] + 1e-6
    inside = (abs(depth) <= 0.5) & (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    return tuple(slice(a, b) for a, b in zip(low, high)), (inside, column, row)

"""SUN RGB-D from its own files: MATLAB's tables, photographs and depth maps.

Song et al., "SUN RGB-D: A RGB-D Scene Understanding Benchmark Suite", CVPR 2015. Points are in the upright
depth frame: x right, y forward, z up, the camera at the origin, tilted back by the table's ``Rtilt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.loading import Arrays
from dense3d.datasets.pointcloud.sunrgbd import CLASSES
from dense3d.datasets.prepared.matlab import read_structs, read_texts
from dense3d.datasets.stereo.pictures import read_numbers, read_picture
from dense3d.errors import DataError
from dense3d.files import is_file

V2 = "SUNRGBDMeta3DBB_v2.mat"
V1 = "SUNRGBDtoolbox/Metadata/SUNRGBDMeta.mat"
SPLIT = "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat"
PLACES = (".", "OFFICIAL_SUNRGBD")
SPLITS = {"train": "alltrain", "val": "alltest"}
FARTHEST = 8.0  # metres; what is measured farther is put there, as in the official code
BOXES = {"centroid": None, "coeffs": None, "orientation": None, "classname": None}
FIELDS = {"depthpath": None, "rgbpath": None, "K": None, "Rtilt": None, "groundtruth3DBB": BOXES}
V1_FIELDS = {"groundtruth3DBB": BOXES, "groundtruth2DBB": {"gtBb2D": None}}


def needed_files(root: Path, labels: str) -> list[Path]:
    """The tables that labels of version ``"v1"`` or ``"v2"`` need."""
    return [_found(root, name) for name in ((V2, SPLIT, V1) if labels == "v1" else (V2, SPLIT))]


def list_frames(root: Path, labels: str) -> Iterator[dict[str, Any]]:
    """What is to be made of each frame of the two splits, in JSON's types.

    Camera and tilt are those of the second version of the annotation, as in the official preparation.

    Raises:
        DataError: a table is missing or damaged.
    """
    places = {
        _tail(folder).rstrip("/"): split
        for split, name in SPLITS.items()
        for folder in read_texts(_found(root, SPLIT), name)
    }
    frames = read_structs(_found(root, V2), "SUNRGBDMeta", FIELDS)
    annotations = frames
    if labels == "v1":
        path = _found(root, V1)
        annotations = read_structs(path, "SUNRGBDMeta", V1_FIELDS)
        if len(annotations) != len(frames):
            raise DataError(f"{path} has {len(annotations)} frames, but {_found(root, V2)} {len(frames)}")
    for number, (frame, annotation) in enumerate(zip(frames, annotations), start=1):
        depth = _tail(frame["depthpath"])
        split = places.get(str(Path(depth).parent.parent))
        if split is None:
            continue
        matrices = {}
        for key, name in (("intrinsics", "K"), ("tilt", "Rtilt")):
            if np.size(frame[name]) != 9 or np.asarray(frame[name]).dtype.kind not in "iuf":
                raise DataError(f"frame {number} of {_found(root, V2)} has no {name} of 3 x 3; copy it again")
            matrices[key] = np.reshape(frame[name], (3, 3)).tolist()
        boxes, faults = _boxes(annotation)
        yield dict(
            id=f"{number:06d}",
            split=split,
            depth=str(_found(root, depth)),
            image=str(_found(root, _tail(frame["rgbpath"]))),
            **matrices,
            boxes=[box for box, _ in boxes],
            box_labels=[label for _, label in boxes],
            faults=faults,
        )


def read_frame(frame: dict[str, Any]) -> Arrays:
    """Points, colours and boxes of a frame of :func:`list_frames`.

    Raises:
        DataError: a picture is missing or damaged, they differ in size, or no pixel has a depth.
    """
    image = read_picture(frame["image"])
    depth = depth_of(read_numbers(frame["depth"], bits=16))
    if image.shape[:2] != depth.shape:
        raise DataError(f"{frame['depth']} is {depth.shape}, but {frame['image']} {image.shape[:2]}")
    points = upright_points(depth, np.array(frame["intrinsics"]), np.array(frame["tilt"]))
    if not len(points):
        raise DataError(f"{frame['depth']} has no pixel with a depth")
    return {
        "points": points,
        "colors": image[depth > 0].astype(np.float32) / 255,
        "gt_boxes": np.array(frame["boxes"], dtype=np.float32).reshape(-1, 7),
        "gt_box_labels": np.array(frame["box_labels"], dtype=np.int64),
    }


def depth_of(stored: np.ndarray) -> np.ndarray:
    """Metres of the 16 bits of a depth picture: millimetres turned to the left by three bits; 0 is none.

    Args:
        stored: (H, W) uint16.

    Example:
        >>> depth_of(np.array([[1500 << 3, 0, 60_000 << 3 & 0xFFFF | 60_000 >> 13]], np.uint16)).tolist()
        [[1.5, 0.0, 8.0]]
    """
    millimetres = (stored >> 3) | (stored << 13)
    return np.minimum(millimetres.astype(np.float32) / 1000, FARTHEST)


def upright_points(depth: np.ndarray, intrinsics: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """Points (N, 3) float32 of the pixels with a depth, row by row, in the upright depth frame.

    Args:
        depth: (H, W) metres.
        intrinsics: (3, 3), for pixels that count from 1, as MATLAB does.
        tilt: (3, 3) from the frame of the camera (x right, y forward, z up) to the upright one.
    """
    rows, columns = np.nonzero(depth > 0)
    z = depth[rows, columns].astype(np.float64)
    x = (columns + 1 - intrinsics[0, 2]) * z / intrinsics[0, 0]
    y = (rows + 1 - intrinsics[1, 2]) * z / intrinsics[1, 1]
    return (np.stack([x, z, -y], axis=1) @ tilt.T).astype(np.float32)


def world_box(centroid: np.ndarray, coeffs: np.ndarray, orientation: np.ndarray) -> list[float]:
    """A row of :class:`~dense3d.structures.Boxes3D` of the table's centre, half sizes and direction.

    Half sizes are across the direction, along it, and upwards. The official heading is clockwise, minus the
    angle of the direction; ours is counter-clockwise, that angle itself.

    Example:
        >>> world_box(np.zeros(3), np.array([0.5, 1.0, 0.25]), np.array([0.0, 1.0, 0.0]))
        [0.0, 0.0, 0.0, 2.0, 1.0, 0.5, 1.5707963267948966]
    """
    across, along, up = np.abs(np.asarray(coeffs, dtype=np.float64).reshape(-1)[:3])
    x, y = np.asarray(orientation, dtype=np.float64).reshape(-1)[:2]
    center = np.asarray(centroid, dtype=np.float64).reshape(-1)[:3]
    return [*center.tolist(), 2 * float(along), 2 * float(across), 2 * float(up), float(np.arctan2(y, x))]


def _boxes(annotation: dict[str, Any]) -> tuple[list[tuple[list[float], int]], list[str]]:
    """Boxes of the ten classes, and words for each that is none.

    The official export of v1 ends at the first box that has no 2D box.
    """
    flat = annotation.get("groundtruth2DBB")
    found, faults = [], []
    for index, one in enumerate(annotation["groundtruth3DBB"]):
        if flat is not None and (index >= len(flat) or np.size(flat[index]["gtBb2D"]) < 4):
            break
        name = str(one["classname"])  # an empty one is an array
        if name not in CLASSES:
            continue
        try:
            box = world_box(one["centroid"], one["coeffs"], one["orientation"])
        except (TypeError, ValueError, IndexError):
            box = []
        if len(box) < 7:
            faults.append(f"box {index + 1} ({name}) has no centre, sizes and direction")
            continue
        if not np.isfinite(box).all() or min(box[3:6]) <= 0:
            faults.append(f"box {index + 1} ({name}) is not finite or has no volume")
            continue
        found.append((box, CLASSES.index(name)))
    return found, faults


def _tail(path: Any) -> str:
    """A path of the tables below the data set's folder, from ``SUNRGBD/`` on."""
    text = str(path)
    start = text.find("SUNRGBD/")
    if start < 0:
        raise DataError(f"SUN RGB-D's tables name {text!r}, which has no SUNRGBD/; copy them again")
    return text[start:]


def _found(root: Path, name: str) -> Path:
    """Where a file of the data set is, or should be."""
    places = [root / place / name for place in PLACES]
    return next((path for path in places if is_file(path)), places[0])

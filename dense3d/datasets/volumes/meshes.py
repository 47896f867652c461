"""The surface of each structure as a triangle mesh in world millimetres, STL or PLY."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from dense3d.datasets.volumes.segmentation import Color, checked_labels, described
from dense3d.errors import ConfigError
from dense3d.files import atomic_write, require_writable_folder
from dense3d.optional import require
from dense3d.structures.volume import Volume

FORMATS = ("stl", "ply")


def write_meshes(
    folder: str | os.PathLike,
    labels: np.ndarray,
    volume: Volume,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, Color] | None = None,
    kind: str = "stl",
) -> list[Path]:
    """Write one closed surface a structure, with outward normals, named ``001_liver.stl`` and so on.

    Args:
        folder: created if needed.
        labels: (X, Y, Z) integers on the volume's own grid, or on its full grid in its axis order.
        volume: whose voxels they are.
        names: label -> name.
        colors: label -> red, green, blue of 0 .. 1; PLY alone keeps them.
        kind: "stl" or "ply", both binary.

    Returns:
        The files. Vertices are RAS+ millimetres, and the files say so (``SPACE=RAS``, which 3D Slicer reads).

    Raises:
        ConfigError: labels are on another grid, or the kind is unknown.
        MissingDependencyError: scikit-image is not installed.
    """
    folder = Path(folder)
    if kind not in FORMATS:
        raise ConfigError(f"{folder}: meshes are written as stl or ply, not {kind!r}")
    labels = checked_labels(labels)
    affine = _affine_of(labels, volume, folder)
    require_writable_folder(folder)
    written = []
    boxes = ndimage.find_objects(labels)
    for label, name, color in described(labels, names, colors):
        if label > len(boxes) or boxes[label - 1] is None:
            continue
        vertices, faces = surface(labels[boxes[label - 1]] == label)
        vertices += [side.start for side in boxes[label - 1]]
        world = (vertices @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32)
        if np.linalg.det(affine[:3, :3]) < 0:
            faces = faces[:, ::-1]  # a mirrored grid turns triangles inside out
        path = folder / f"{label:03d}_{_file_name(name)}.{kind}"
        with atomic_write(path) as file:
            file.write(_stl(world, faces, name) if kind == "stl" else _ply(world, faces, name, color))
        written.append(path)
    return written


def surface(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) voxel coordinates and (F, 3) vertex indices, counter-clockwise from outside.

    Marching cubes (Lewiner et al., 2003) half-way between voxels in and out, closed at the border.

    Args:
        mask: (X, Y, Z) bool.
    """
    measure = require("skimage.measure", "surfaces of structures")
    padded = np.pad(mask, 1).astype(np.float32)
    vertices, faces, _, _ = measure.marching_cubes(padded, 0.5)
    corners = vertices[faces].astype(np.float64)
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return vertices.astype(np.float64) - 1, faces if volume > 0 else faces[:, ::-1]


def _affine_of(labels: np.ndarray, volume: Volume, folder: Path) -> np.ndarray:
    if labels.shape == volume.shape:
        return volume.affine
    if labels.shape == volume.full_shape:
        return volume.source.affine @ volume.order.index_affine(volume.source.shape)
    raise ConfigError(
        f"{folder}: labels of shape {labels.shape} do not lie on the {volume.shape} voxels of {volume.name}"
    )


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:80] or "segment"


def _stl(vertices: np.ndarray, faces: np.ndarray, name: str) -> bytes:
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    triangles = np.zeros(
        len(faces), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("no", "<u2")])
    )
    triangles["normal"], triangles["corners"] = normals, corners
    title = f"dense3d SPACE=RAS {name}".encode("ascii", "replace")[:80].ljust(80)
    return title + np.uint32(len(faces)).tobytes() + triangles.tobytes()


def _ply(vertices: np.ndarray, faces: np.ndarray, name: str, color: Color) -> bytes:
    points = np.zeros(len(vertices), np.dtype([("position", "<f4", 3), ("color", "u1", 3)]))
    points["position"], points["color"] = vertices, np.rint(np.array(color) * 255)
    rows = np.zeros(len(faces), np.dtype([("count", "u1"), ("index", "<i4", 3)]))
    rows["count"], rows["index"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment SPACE=RAS",
        f"comment {re.sub(r'[^ -~]', '?', name)}",
        f"element vertex {len(points)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        f"element face {len(rows)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    return "\n".join(header).encode("ascii") + points.tobytes() + rows.tobytes()

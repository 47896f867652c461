"""Triangle meshes as obj, off, stl and ply, and points sampled evenly from their surface by Open3D.

obj and off are parsed here: Open3D passes over faces with more than three corners in obj files, and reads
nothing of the off files of ModelNet40 whose first line is ``OFF490 518 0``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.cloud_files.open3d_files import quiet_open3d


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """A surface.

    Args:
        vertices: (V, 3) float64.
        triangles: (F, 3) int64, indices of vertices.
        colors: (V, 3) of the vertices in any range, or None.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colors: np.ndarray | None = None


def read_mesh(path: Path) -> TriangleMesh:
    """A mesh of triangles; faces with more corners are cut into fans.

    Raises:
        DataError: the file is damaged, or the mesh has no face.
    """
    suffix = path.suffix.lower()
    if suffix == ".obj":
        mesh = _read_obj(path)
    elif suffix == ".off":
        mesh = _read_off(path)
    else:
        with quiet_open3d() as open3d:
            found = open3d.io.read_triangle_mesh(str(path))
        colors = np.asarray(found.vertex_colors) if found.has_vertex_colors() else None
        mesh = TriangleMesh(np.asarray(found.vertices), np.asarray(found.triangles, np.int64), colors)
    if not len(mesh.triangles):
        what = f"has {len(mesh.vertices)} vertices but no face" if len(mesh.vertices) else "holds no mesh"
        raise DataError(
            f"{path} {what}, so no surface can be sampled; save its points as ply or xyz to "
            "read them as they are"
        )
    if mesh.triangles.min() < 0 or mesh.triangles.max() >= len(mesh.vertices):
        raise DataError(f"{path}: a face names a vertex that is not among its {len(mesh.vertices)}")
    return mesh


def sample_mesh(mesh: TriangleMesh, count: int, seed: int, where: str | Path) -> dict[str, np.ndarray]:
    """Points spread evenly over the surface, with the normals of their triangles.

    Args:
        mesh: of triangles.
        count: number of points.
        seed: of Open3D's random numbers; the same gives the same points.
        where: for messages.

    Returns:
        ``points``, ``normals`` and, of a coloured mesh, ``colors`` (count, 3) float64 in 0..1.

    Raises:
        DataError: the surface has no area, or a corner is not finite.
    """
    corners = mesh.vertices[mesh.triangles]  # (F, 3, 3)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not np.isfinite(area).all() or area.sum() <= 0:
        what = "a vertex that is not finite" if not np.isfinite(area).all() else "no area"
        raise DataError(f"{where}: the mesh has {what}, so its surface cannot be sampled")
    kept = area > 0  # Open3D gives faces of no area normals that are not finite
    with quiet_open3d() as open3d:
        made = open3d.geometry.TriangleMesh(
            open3d.utility.Vector3dVector(np.ascontiguousarray(mesh.vertices, dtype=np.float64)),
            open3d.utility.Vector3iVector(np.ascontiguousarray(mesh.triangles[kept], dtype=np.int32)),
        )
        if mesh.colors is not None:
            made.vertex_colors = open3d.utility.Vector3dVector(np.asarray(mesh.colors, dtype=np.float64))
        open3d.utility.random.seed(seed)
        cloud = made.sample_points_uniformly(count, use_triangle_normal=True)
    found = {"points": np.asarray(cloud.points), "normals": np.asarray(cloud.normals)}
    if mesh.colors is not None:
        found["colors"] = np.asarray(cloud.colors)
    return found


def _read_obj(path: Path) -> TriangleMesh:
    vertices, faces = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        try:
            if words[:1] == ["v"]:
                vertices.append([float(word) for word in words[1:]])
            elif words[:1] == ["f"]:
                corners = [int(word.partition("/")[0]) for word in words[1:]]
                faces.append([c - 1 if c > 0 else len(vertices) + c for c in corners])
        except ValueError:
            raise DataError(f"{path}, line {number}: {line.strip()[:60]!r} is no vertex or face") from None
    lengths = {len(vertex) for vertex in vertices}
    if not vertices:
        return TriangleMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    if min(lengths) < 3:
        raise DataError(f"{path}: a vertex has fewer than three coordinates")
    places = np.array([vertex[:3] for vertex in vertices])
    colors = np.array([vertex[3:6] for vertex in vertices]) if lengths == {6} else None
    return TriangleMesh(places, _fans(faces), colors)


def _read_off(path: Path) -> TriangleMesh:
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8", errors="replace")).lstrip()
    head = re.match(r"(C|N|ST)*OFF", text)
    if not head:
        raise DataError(f"{path} {'does not begin with OFF' if text else 'is empty'}; make or copy it again")
    lines = [line for line in text[head.end() :].splitlines() if line.strip()]
    try:
        vertices, faces = (int(word) for word in lines[0].split()[:2])
        if len(lines) < 1 + vertices + faces:
            raise DataError(
                f"{path} says {vertices} vertices and {faces} faces, but has {len(lines) - 1} lines of them: "
                "it was cut off; copy it again"
            )
        places = np.array([[float(w) for w in line.split()[:3]] for line in lines[1 : 1 + vertices]])
        corners = [[int(word) for word in line.split()] for line in _whole(lines[1 + vertices :][:faces])]
        corners = [face[1 : 1 + face[0]] for face in corners]
    except (ValueError, IndexError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no OFF file that can be read; make or copy it again") from None
    return TriangleMesh(places.reshape(-1, 3), _fans(corners))


def _whole(lines: list[str]) -> list[str]:
    """Lines of faces without the colours behind the corners."""
    return [" ".join(line.split()[: 1 + int(line.split()[0])]) for line in lines]


def _fans(faces: list[list[int]]) -> np.ndarray:
    """Triangles (F, 3) of polygons: the first corner with each two neighbours of the others."""
    by_size: dict[int, list[list[int]]] = {}
    for face in faces:
        by_size.setdefault(len(face), []).append(face)
    parts = [np.zeros((0, 3), np.int64)]
    for size, group in by_size.items():
        corners = np.array(group, dtype=np.int64).reshape(len(group), size)
        parts += [corners[:, [0, i, i + 1]] for i in range(1, size - 1)]
    return np.concatenate(parts)

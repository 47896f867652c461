"""Meshes from rendered depth: a cube is found where the files say that it is, in the world of their poses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from radiance import tiny_scenes

from dense3d.datasets.posed_rgb import read_scene
from dense3d.errors import ConfigError, DataError
from dense3d.radiance import load_views
from dense3d.radiance.splats import Gaussians, write_splats
from dense3d.radiance.splats.meshing import mesh_of, rendered_depth, usual_voxel, write_mesh
from dense3d.radiance.views import PosedView
from dense3d.structures import PinholeCamera
from dense3d.structures.cloud_files.meshes import read_mesh

CENTRE, HALF = np.array([10.0, -4.0, 2.0]), 0.5
SIDE = 24  # Gaussians along an edge


def cube() -> Gaussians:
    """Flat, opaque Gaussians on the six sides."""
    ticks = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    across = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    points, scales = [], []
    thin, wide = math.log(1e-4), math.log(1.0 * HALF / SIDE)
    for axis in range(3):
        for side in (-1, 1):
            points.append(HALF * np.insert(across, axis, side, axis=1))
            scales.append(np.insert(np.full((SIDE**2, 2), wide), axis, thin, axis=1))
    count = 6 * SIDE**2
    places = torch.from_numpy(np.concatenate(points) + CENTRE).float()
    return Gaussians(
        {
            "means": places,
            "log_scales": torch.from_numpy(np.concatenate(scales)).float(),
            "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
            "opacity_logits": torch.full((count,), 5.0),
            "sh0": torch.zeros(count, 1, 3),
            "shN": torch.zeros(count, 0, 3),
        }
    )


def cameras_around() -> list[PosedView]:
    views = []
    for number, angle in enumerate(2 * math.pi * np.arange(10) / 10):
        offset = np.array([2.5 * math.cos(angle), 2.5 * math.sin(angle), 2.0 if number % 2 else -2.0])
        camera = PinholeCamera.look_at(CENTRE + offset, CENTRE, 129, 96, fov=0.7)
        views.append(PosedView(f"{number}.png", camera, np.zeros((96, 129, 3), np.uint8)))
    return views


def distance_to_cube(points: np.ndarray) -> np.ndarray:
    """From its surface."""
    away = np.abs(points - CENTRE) - HALF
    outside = np.linalg.norm(np.maximum(away, 0), axis=1)
    return np.where(away.max(axis=1) > 0, outside, -away.max(axis=1))


def test_a_cube_is_found_within_a_voxel_after_all_transforms(tmp_path: Path) -> None:
    """From a file with OpenGL's axes, through a smaller image, rendered depth, fusion and a mesh file."""
    root = tiny_scenes.write_scene(tmp_path / "s", cameras_around())
    views, voxel = load_views(read_scene(root), downscale=1.5), 0.05
    gaussians = cube()
    assert usual_voxel(gaussians, views) == pytest.approx(2 * 2.7 / views[0].camera.intrinsics[0, 0], rel=0.1)
    write_mesh(mesh_of(gaussians, views, voxel), tmp_path / "mesh.ply")
    mesh = read_mesh(tmp_path / "mesh.ply")
    away = distance_to_cube(mesh.vertices)
    assert away.max() <= 1.001 * voxel and np.median(away) < 0.25 * voxel
    for axis in range(3):
        for side in (-1, 1):
            middle = CENTRE + side * HALF * np.eye(3)[axis]
            assert np.linalg.norm(mesh.vertices - middle, axis=1).min() <= voxel
    assert np.abs(mesh.colors * (255 if mesh.colors.max() <= 1 else 1) - 127.5).max() < 3


def test_rendered_depth_is_that_of_the_front_and_leaves_edges_out() -> None:
    view = cameras_around()[1]
    _, depth = rendered_depth(cube(), view)
    points = view.camera.unproject(view.camera.pixel_grid(), depth)[depth > 0]
    assert (depth > 0).mean() > 0.15 and np.percentile(distance_to_cube(points), 98) < 0.05


def test_where_there_is_no_surface_there_is_no_mesh(tmp_path: Path) -> None:
    faint = cube()
    with torch.no_grad():
        faint.opacity_logits.fill_(-6)
    views = cameras_around()[:2]
    with pytest.raises(DataError, match=r"no surface was found with voxels of 0\.05"):
        mesh_of(faint, views, 0.05)
    with pytest.raises(DataError, match="at least half opaque"):
        usual_voxel(faint, views)
    with pytest.raises(ConfigError, match="voxel=-1"):
        mesh_of(faint, views, -1)
    write_splats(faint, tmp_path / "a.ply")

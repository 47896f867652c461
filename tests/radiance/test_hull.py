"""Where Gaussians of an object alone begin: in its visual hull; and others, not before the cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from radiance import tiny_scenes

from dense3d.apis import fit_splats
from dense3d.apis.splat_rendering import render_splats
from dense3d.datasets.posed_rgb import PosedScene
from dense3d.radiance.hull import hull_points
from dense3d.radiance.splats import FitSettings
from dense3d.radiance.splats.fitting import with_background
from dense3d.radiance.splats.initial import NEAR, initial_points
from dense3d.radiance.views import PosedView
from dense3d.structures import PinholeCamera

SCENE = PosedScene(Path("scene"), "blender", ())
CENTRE, RADIUS = np.array([0.3, -0.2, 0.1]), 0.6
COLOR = np.array([200, 120, 40])


def ball_views(count: int = 16) -> list[PosedView]:
    """An orange ball, all around and at several heights; colours are multiplied by alpha."""
    views = []
    for number, angle in enumerate(2 * np.pi * np.arange(count) / count):
        place = 4 * np.array([np.cos(angle), np.sin(angle), (-0.8, 0.2, 1.0)[number % 3]])
        camera = PinholeCamera.look_at(place, (0, 0, 0), 61, 45, fov=0.8)
        rays = camera.directions(camera.pixel_grid())
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        across = np.linalg.norm(np.cross(rays, CENTRE - camera.position), axis=-1)
        alpha = (np.clip((RADIUS - across) / 0.08 + 0.5, 0, 1) * 255).round()  # soft over some pixels
        image = (alpha[..., None] / 255 * COLOR).round().astype(np.uint8)
        views.append(PosedView(f"{number:02d}.png", camera, image, alpha=alpha.astype(np.uint8)))
    return views


def off_centre(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - CENTRE, axis=1)


def test_the_hull_of_a_ball_is_the_ball_and_its_points_have_its_colour() -> None:
    points, source = initial_points(SCENE, ball_views())
    assert source == "the hull of the object" and len(points) == 20_000
    away = off_centre(points.points)
    assert away.max() < 1.25 * RADIUS  # between rings of cameras the hull has corners
    # evenly in a ball, whose silhouettes were widened by up to a pixel, 0.055 there, and half a voxel
    assert 0.98 * RADIUS < np.median(away) / 0.5 ** (1 / 3) < RADIUS + 0.065
    np.testing.assert_allclose(points.points.mean(0), CENTRE, atol=0.03)
    assert np.abs(points.colors * 255 - COLOR).max() < 6  # also at the rim, where pixels are mixed


def test_a_faulty_mask_and_unknown_pixels_carve_nothing_away() -> None:
    views, rng = ball_views(24), np.random.default_rng(0)
    empty = replace(views[3], alpha=np.zeros_like(views[3].alpha))
    unknown = replace(empty, usable=np.zeros(empty.alpha.shape, bool))
    opaque = replace(views[5], alpha=None)
    for changed in ([*views[:3], empty, *views[4:]], [*views[:3], unknown, *views[4:5], opaque, *views[6:]]):
        points = hull_points(changed, np.zeros(3), 4.0, 1000, rng)
        assert off_centre(points).max() < 1.3 * RADIUS and off_centre(points).mean() > 0.6 * RADIUS


def test_what_no_hull_can_be_made_of_begins_at_random() -> None:
    nothing = [replace(view, alpha=np.zeros_like(view.alpha)) for view in ball_views(6)]
    assert initial_points(SCENE, nothing, count=50)[1] == "chance"
    outwards = [
        replace(view, camera=PinholeCamera.look_at((0, 0, 0), view.camera.position, 61, 45, fov=0.8))
        for view in ball_views(6)
    ]
    points, source = initial_points(SCENE, outwards, count=50)
    assert source == "chance" and len(points) == 50


def test_points_at_random_are_near_to_no_camera_and_seen_by_two() -> None:
    views = [replace(view, alpha=None) for view in ball_views(8)]
    points, source = initial_points(SCENE, views, count=400)
    assert source == "chance" and len(points) == 400
    distance = np.mean([np.linalg.norm(view.camera.position) for view in views])
    seen = np.zeros(400, int)
    for view in views:
        away = np.linalg.norm(points.points - view.camera.position, axis=1)
        assert away.min() > 0.9 * NEAR * distance
        seen[view.seen(points.points)[0]] += 1
    assert seen.min() >= 2


def test_backgrounds_are_those_asked_for_and_random_behind_objects_else() -> None:
    objects = ball_views(2)
    opaque = [replace(view, alpha=None) for view in objects]
    assert with_background(FitSettings(), objects).background == "random"
    assert with_background(FitSettings(), opaque).background == "black"
    assert with_background(FitSettings(background="black"), objects).background == "black"


def test_an_object_alone_is_fitted_from_its_hull_and_scored_as_it_is_rendered(tmp_path: Path) -> None:
    """Coloured blobs of RGBA pictures and nothing else known: better than the nearest photograph."""
    known = tiny_scenes.known_gaussians()
    size, count = (48, 36), 24
    root = tiny_scenes.write_scene(tmp_path / "s", tiny_scenes.photographs(known, count, size))
    for view in tiny_scenes.photographs(known, count, size):
        with torch.no_grad():
            arguments = (view.viewmat()[None], view.intrinsics()[None], *size)
            image, alpha, _ = known.render(*arguments)
        color = (image / alpha.clamp(min=1e-6)).clamp(0, 1)[0].flip(-1)  # cv2 has blue first
        pixels = (torch.cat([color, alpha[0]], -1) * 255).round().byte().numpy()
        cv2.imwrite(str(root / "images" / view.name), pixels)
    settings = FitSettings(steps=150, sh_degree=0)
    lines: list[str] = []
    quiet = dict(device="cpu", check_poses=False, tell=lines.append)
    report = fit_splats(root, tmp_path / "out", settings, points=1500, **quiet)
    assert any("from the hull of the object" in line for line in lines)
    means = report.scores.means()
    assert means["splats"][0] > means["nearest_view"][0] + 1.5
    assert means["splats"][0] > means["mean_image"][0] + 3
    rendered = render_splats(report.splats, root, tmp_path / "r", device="cpu", tell=lines.append)
    for name, row in report.scores.rows.items():
        assert rendered.scores.rows[name]["splats"] == pytest.approx(row["splats"], abs=1e-4)

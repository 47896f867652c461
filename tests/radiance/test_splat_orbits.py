"""Videos: cameras circle what photographs look at, and the file holds as many frames as were rendered."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from radiance import tiny_scenes

from dense3d.errors import MissingDependencyError
from dense3d.radiance.orbit import orbit, require_video, write_video
from dense3d.radiance.splats.rendering import render_view
from dense3d.radiance.views import PosedView
from dense3d.structures import PinholeCamera


def views_at(angles: np.ndarray, inward: bool = True) -> list[PosedView]:
    views = []
    for angle in angles:
        place = np.array([3 * math.cos(angle), 3 * math.sin(angle), 1.0])
        target = np.array([0.0, 0.0, 0.2]) if inward else 2 * place - (0, 0, 1)
        camera = PinholeCamera.look_at(place, target, 33, 25, fov=0.9)
        views.append(PosedView("a", camera, np.zeros((25, 33, 3), np.uint8)))
    return views


def directions(views: list[PosedView]) -> np.ndarray:
    return np.unwrap([math.atan2(view.camera.position[1], view.camera.position[0]) for view in views])


def test_photographs_from_all_sides_are_circled_and_one_side_is_swung_along() -> None:
    path = orbit(views_at(2 * math.pi * np.arange(12) / 12), 36)
    assert abs(abs(directions(path)[-1] - directions(path)[0]) - 2 * math.pi * 35 / 36) < 1e-6
    path = orbit(views_at(np.linspace(0.5, 1.7, 9)), 36)
    assert directions(path).min() > 0.5 and directions(path).max() < 1.7
    assert np.ptp(directions(path)) > 0.8
    for view in path:
        pixel, depth = view.camera.project(np.array([[0.0, 0.0, 0.2]]))
        np.testing.assert_allclose(pixel[0], (16, 12), atol=2)
        assert depth > 0 and view.camera.rotation[2, 1] < -0.5  # upright


def test_cameras_that_look_outwards_are_followed() -> None:
    given = views_at(np.linspace(0, 5, 8), inward=False)
    path = orbit(given, 14)
    for number, view in enumerate(given):
        np.testing.assert_allclose(
            path[number].camera.camera_to_world, view.camera.camera_to_world, atol=1e-9
        )


def test_photographs_that_look_down_with_any_side_up_are_followed() -> None:
    """As a drone's that flies to and fro: no direction is up for all, and a circle has no axis."""
    views = []
    for x, heading in ((-0.5, 1), (0.5, 1), (0.5, -1), (-0.5, -1)):
        forward = np.array([-x, 0, -5]) / math.hypot(x, 5)
        down = np.array([0.0, heading, 0])
        pose = np.eye(4)
        pose[:3, :3] = np.column_stack([np.cross(down, forward), down, forward])
        pose[:3, 3] = (x, 0, 5)
        camera = replace(PinholeCamera.look_at((0, 0, 1), (1, 0, 0), 8, 6, fov=0.9), camera_to_world=pose)
        views.append(PosedView("a", camera, np.zeros((6, 8, 3), np.uint8)))
    for view in orbit(views, 12):
        rotation = view.camera.rotation
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert rotation[2, 2] < -0.9 and abs(view.camera.position[2] - 5) < 0.5


def test_a_video_holds_the_frames(tmp_path: Path) -> None:
    known = tiny_scenes.known_gaussians()
    path = orbit(views_at(2 * math.pi * np.arange(12) / 12), 10)
    done: list[int] = []
    write_video(partial(render_view, known), path, tmp_path / "o.mp4", torch.zeros(3), tell=done.append)
    video = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert len(frames) == 10 and frames[0].shape == (24, 32, 3) and done == list(range(1, 11))
    assert frames[0].std() > 10
    assert [file.name for file in tmp_path.iterdir()] == ["o.mp4"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(MissingDependencyError, match=r"pip install 'dense3d\[video\]'"):
        require_video()

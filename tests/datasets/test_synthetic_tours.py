"""Synthetic rooms to fit: closed, seen from all around, with files that agree between views."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.datasets.posed_rgb import PosedScene, read_scene
from dense3d.datasets.synthetic import make_dataset
from dense3d.datasets.synthetic.room_tour import VIEWS

RECIPE = dict(layouts=("posed",), train=1, val=0, size=(40, 32), seed=2, workers=1, progress=False)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> PosedScene:
    root = tmp_path_factory.mktemp("tour") / "data"
    assert make_dataset(root, **RECIPE) and not make_dataset(root, **RECIPE)
    return read_scene(root / "train_000000")


def test_the_room_is_closed_and_every_eighth_view_is_for_validation(tour: PosedScene) -> None:
    assert len(tour.frames) == VIEWS and len(tour.split("val").frames) == VIEWS // 8
    depths = np.stack([frame.read_depth() for frame in tour.frames])
    assert (depths > 0.05).all() and depths.max() < 12
    directions = np.array([frame.camera.rotation[:2, 2] for frame in tour.frames])
    angles = np.sort(np.arctan2(directions[:, 1], directions[:, 0]))
    assert np.diff(angles).max() < 0.7  # radians: it is looked at all around


def test_neighbouring_views_see_the_same_places(tour: PosedScene) -> None:
    shares = []
    for first, second in zip(tour.frames[::6], tour.frames[1::6]):
        depth = first.read_depth()
        points = first.camera.unproject(first.camera.pixel_grid(), depth).reshape(-1, 3)
        pixels, distance = second.camera.project(points)
        places = np.rint(pixels).astype(int)
        inside = (distance > 0) & (places >= 0).all(axis=1) & (places < (40, 32)).all(axis=1)
        x, y = places[inside].T
        shares.append(np.mean(np.abs(second.read_depth()[y, x] / distance[inside] - 1) < 0.05))
    assert np.mean(shares) > 0.7

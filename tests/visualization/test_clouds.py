"""Pictures of clouds: what is near hides what is far, clouds stay in place, colours of labels."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.visualization.clouds import draw_cloud, labelled_colours

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("up", ["y", "z"])
def test_the_nearer_point_is_seen(up):
    axis = "xyz".index(up)
    points = np.zeros((2, 3))
    points[1, axis] = 1.0
    picture = draw_cloud(points, np.array([RED, BLUE], np.uint8), size=41, up=up, elevation=90, radius=2)
    # from above, both in the middle: the higher one
    assert tuple(picture[20, 20]) == BLUE
    below = draw_cloud(points, np.array([RED, BLUE], np.uint8), size=41, up=up, elevation=-90, radius=2)
    assert tuple(below[20, 20]) == RED


def test_up_is_up():
    points = np.array([[0, 0, 0], [0, 0, 1.0]])
    picture = draw_cloud(points, np.array([RED, BLUE], np.uint8), size=41, elevation=0, radius=0)
    rows = {colour: np.argwhere((picture[..., :] == colour).all(axis=2))[0, 0] for colour in (RED, BLUE)}
    assert rows[BLUE] < rows[RED]


def test_bounds_keep_clouds_in_place():
    points = np.random.default_rng(0).random((50, 3))
    bounds = np.array([[0, 0, 0], [1, 1, 1.0]])
    whole = draw_cloud(points, np.full((50, 3), 9, np.uint8), size=60, bounds=bounds, radius=0)
    part = draw_cloud(points[:10], np.full((10, 3), 9, np.uint8), size=60, bounds=bounds, radius=0)
    seen = {tuple(place) for place in np.argwhere((part < 200).all(axis=2))}
    assert seen and seen <= {tuple(place) for place in np.argwhere((whole < 200).all(axis=2))}


def test_no_point_and_one_point():
    assert (draw_cloud(np.zeros((0, 3)), size=8) == 255).all()
    assert (draw_cloud(np.ones((1, 3)), size=8) != 255).any()


def test_unknown_labels_are_grey():
    palette = np.array([RED, BLUE], np.uint8)
    found = labelled_colours(np.array([0, 1, 2, -1]), palette)
    assert found.tolist() == [list(RED), list(BLUE), [128] * 3, [128] * 3]

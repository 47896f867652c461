"""Drawn 3D boxes stand at the pixels where their corners are projected to, and not elsewhere."""

from __future__ import annotations

import numpy as np

from dense3d.datasets.kitti import KittiObjects, parse_objects
from dense3d.structures import KittiCalibration
from dense3d.visualization.boxes3d import (
    BACKGROUND,
    LABEL_COLOUR,
    RESULT_COLOUR,
    draw_birds_eye_view,
    draw_boxes_3d,
    draw_frame,
)

CALIBRATION = KittiCalibration.pinhole(100.0, (150.0, 60.0))
IMAGE = np.zeros((120, 300, 3), np.uint8)


def car(x: float, z: float, turn: float = 0.0) -> KittiObjects:
    """A box 2 m high and wide and 4 m long that reaches from the optical axis down by 1 m."""
    return parse_objects(f"Car 0 0 0 10 10 20 20 2 2 4 {x} 1 {z} {turn}")


def coloured(picture: np.ndarray, colour) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels that are nearly of this colour."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - colour).sum(-1) < 120)
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_edges_lie_where_corners_are_projected():
    picture = draw_boxes_3d(IMAGE, car(0, 11), CALIBRATION)
    # the near side at z = 10 spans x from -2 to 2 and y from -1 to 1
    np.testing.assert_allclose(coloured(picture, LABEL_COLOUR), (130, 50, 170, 70), atol=2)
    assert not IMAGE.any()  # the image itself stays


def test_boxes_across_and_behind_the_camera():
    across = draw_boxes_3d(IMAGE, car(1.5, 0.5, np.pi / 2), CALIBRATION)
    assert across.any()
    far_behind = KittiObjects(("Car",), car(0, 10).values * np.where(np.arange(14) == 12, -1, 1))
    assert not draw_boxes_3d(IMAGE, far_behind, CALIBRATION).any()


def test_the_view_from_above():
    picture = draw_birds_eye_view([(car(5, 30), LABEL_COLOUR)], height=600, depth=60, width=40)
    assert picture.shape == (600, 400, 3)
    # 10 pixels a metre: the centre stands at column 250, 300 pixels above the lower side
    np.testing.assert_allclose(coloured(picture, LABEL_COLOUR), (230, 290, 270, 310), atol=2)
    empty = draw_birds_eye_view(
        [], height=600, depth=60, width=40, points=np.array([[0.0, 0, 15], [90, 0, 5]])
    )
    assert (empty[450, 200] != BACKGROUND).any()


def test_a_frame_with_labels_and_results():
    region = parse_objects("DontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10")
    both = KittiObjects(("Car", "DontCare"), np.concatenate([car(-3, 20).values, region.values]))
    picture = draw_frame(IMAGE, CALIBRATION, both, car(3, 20).with_scores(0.5), np.zeros((0, 3)))
    assert picture.shape[0] == 120
    left, right = coloured(picture[:, :300], LABEL_COLOUR), coloured(picture[:, :300], RESULT_COLOUR)
    assert left[2] < 150 < right[0]
    assert coloured(picture[:, 300:], RESULT_COLOUR)[0] > coloured(picture[:, 300:], LABEL_COLOUR)[2] - 3


def test_the_view_reaches_as_far_as_objects():
    for distance, reach in ((20, 30), (33, 40), (90, 60)):
        above = draw_frame(IMAGE, CALIBRATION, car(0, 5), car(2, distance).with_scores(0.5))[:, 300:]
        top, bottom = coloured(above, LABEL_COLOUR)[1::2]
        assert abs((top + bottom) / 2 - (120 - 5 * 120 / reach)) < 1.5
        assert above.shape[1] == 80

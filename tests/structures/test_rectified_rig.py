"""Disparity to depth and back, and what scaling and cropping the images does to a rig."""

import numpy as np
import pytest
import torch

from dense3d.errors import DataError
from dense3d.structures import RectifiedRig

RIG = RectifiedRig(focal=994.978, baseline=0.193, cx=311.193, cy=254.877, width=741, height=497, doffs=31.086)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_depth_and_disparity_are_inverse(make):
    depth = make(np.array([0.5, 3.0, 80.0]))
    np.testing.assert_allclose(RIG.depth(RIG.disparity(depth)), depth, rtol=1e-12)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_what_lies_at_or_beyond_infinity_is_infinite(make):
    assert np.isinf(np.asarray(RIG.depth(make(np.array([-31.086, -40.0]))))).all()


def test_deviation_is_the_slope_of_depth():
    disparity, step = 20.0, 1e-5
    slope = (RIG.depth(np.array(disparity - step)) - RIG.depth(np.array(disparity + step))) / (2 * step)
    np.testing.assert_allclose(RIG.depth_deviation(RIG.depth(np.array(disparity)), 1.0), slope, rtol=1e-6)


def test_a_point_keeps_its_place_through_scaling_and_cropping():
    point = np.array([0.3, -0.2, 2.5])  # metres

    def pixel(rig):
        return rig.focal * point[0] / point[2] + rig.cx, rig.focal_y * point[1] / point[2] + rig.cy

    x, y = pixel(RIG)
    half = RIG.resized(370, 249)
    u, v = pixel(half)
    np.testing.assert_allclose([u + 0.5, v + 0.5], [(x + 0.5) * 370 / 741, (y + 0.5) * 249 / 497])
    np.testing.assert_allclose(half.disparity(2.5), RIG.disparity(2.5) * 370 / 741)
    np.testing.assert_allclose(pixel(RIG.cropped(10, -4, 100, 100)), (x - 10, y + 4))


@pytest.mark.parametrize("change", [{"focal": 0.0}, {"baseline": -0.1}, {"cx": np.nan}, {"width": 0}])
def test_numbers_that_no_rig_has_are_refused(change):
    numbers = dict(focal=700.0, baseline=0.5, cx=300.0, cy=100.0, width=600, height=200) | change
    with pytest.raises(DataError, match=next(iter(change)) if "cx" not in change else "finite"):
        RectifiedRig(**numbers)

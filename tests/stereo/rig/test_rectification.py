"""Photographs of known planes: after rectification, rows agree and disparity is that of the planes' depth."""

import cv2
import numpy as np
import pytest
from stereo.rig.photographs import FAR, NEAR, cameras, photographs

from dense3d.errors import DataError
from dense3d.stereo.rig import Rectifier, check_pair
from dense3d.structures import RectifiedRig


@pytest.fixture(scope="module")
def pair():
    return photographs(cameras())


def test_photographs_are_not_rectified_and_rectified_ones_are(pair):
    before = check_pair(*pair)
    assert before.vertical > 2 and "not rectified" in before.faults[0]
    after = check_pair(*Rectifier(cameras())(*pair))
    assert len(after.matches) > 200 and after.vertical < 0.15 and not after.faults


def test_disparity_is_that_of_the_planes(pair):
    rectifier = Rectifier(cameras())
    rig = rectifier.rig
    assert isinstance(rig, RectifiedRig) and rig.baseline == pytest.approx(cameras().baseline)
    matches = check_pair(*rectifier(*pair)).matches
    points = np.stack([(matches[:, 0] - rig.cx) / rig.focal, (matches[:, 1] - rig.cy) / rig.focal_y], -1)
    points = (
        np.hstack([points, np.ones((len(points), 1))]) * rig.depth(matches[:, 0] - matches[:, 2])[:, None]
    )
    depth = (points @ rectifier.rotation)[:, 2]  # back in the left camera's own frame, where planes are flat
    error = np.minimum(np.abs(depth - NEAR) / NEAR, np.abs(depth - FAR) / FAR)
    assert np.median(error) < 0.01
    assert (np.abs(depth - NEAR) < 0.1).sum() > 50 and (np.abs(depth - FAR) < 0.4).sum() > 50


def test_fisheye_photographs_are_rectified():
    rig = cameras(left_distortion=np.zeros(4), right_distortion=np.zeros(4))
    fisheye = cameras(left_distortion=np.zeros(4), right_distortion=np.zeros(4), fisheye=True)
    left, right = photographs(rig)

    def bent(image, matrix):  # what a camera of the equidistant model sees of the same scene
        u, v = np.meshgrid(np.arange(480.0), np.arange(320.0))
        places = cv2.fisheye.undistortPoints(
            np.stack([u, v], -1).reshape(-1, 1, 2), matrix, np.zeros(4), P=matrix
        )
        return cv2.remap(
            image, *places.reshape(320, 480, 2).astype(np.float32).transpose(2, 0, 1), cv2.INTER_LINEAR
        )

    rectified = Rectifier(fisheye)(bent(left, np.array(rig.left)), bent(right, np.array(rig.right)))
    assert check_pair(*rectified).vertical < 0.2


def test_scaled_photographs_need_scaled_intrinsics(pair):
    half = [cv2.resize(image, (240, 160), interpolation=cv2.INTER_AREA) for image in pair]
    with pytest.raises(DataError, match=r"240x160.*480x320"):
        Rectifier(cameras())(*half)
    assert check_pair(*Rectifier(cameras().resized(240, 160))(*half)).vertical < 0.2


def test_alpha_keeps_all_pixels_or_only_common_ones(pair):
    inner, outer = (Rectifier(cameras(), alpha)(*pair)[0] for alpha in (0.0, 1.0))
    assert (inner.max(-1) == 0).mean() < 0.01 < (outer.max(-1) == 0).mean()
    with pytest.raises(DataError, match=r"alpha=2"):
        Rectifier(cameras(), 2)


def test_exchanged_cameras_are_told(pair):
    one = cameras()
    back = cameras(rotation=one.rotation.T, translation=-one.rotation.T @ one.translation)
    assert Rectifier(back).swapped and not Rectifier(one).swapped


@pytest.mark.parametrize(
    "translation, words", [((0.01, -0.2, 0), "above or below"), ((0.01, 0, 0.2), "before or")]
)
def test_rigs_that_make_no_pair_are_refused(translation, words):
    with pytest.raises(DataError, match=words):
        Rectifier(cameras(translation=translation))


def test_a_pair_without_texture_is_not_judged():
    flat = np.full((100, 160, 3), 90, np.uint8)
    check = check_pair(flat, flat)
    assert np.isnan(check.vertical) and not check.faults and "too few" in str(check)


def test_a_swapped_pair_and_a_shifted_one_are_named(pair):
    left, right = Rectifier(cameras())(*pair)
    (swapped,) = check_pair(right, left).faults
    assert "left and right are swapped" in swapped
    (shifted,) = check_pair(left, np.roll(right, 3, axis=0)).faults
    assert "the right image lies 3.0 px too low" in shifted
    with pytest.raises(DataError, match="480x320 and 480x300"):
        check_pair(left, right[:300])

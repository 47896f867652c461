"""Semi-global matching on made-up pairs, where the truth is known, and on the real ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.depth import PROTOCOLS, compare_disparity
from dense3d.ops import fill_from_left
from dense3d.stereo.block_matching import SemiGlobalMatcher, SemiGlobalMatching
from dense3d.structures.stereo_sample import StereoSample


def pair(near: int = 20, far: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A near square before a far wall: left, right, disparity, and what the right image sees too."""
    generator = np.random.default_rng(0)
    wall, square = (generator.integers(0, 255, size, dtype=np.uint8) for size in ((80, 260, 3), (40, 60, 3)))
    left, right = wall[:, 20:220].copy(), wall[:, 20 + far : 220 + far].copy()
    disparity = np.full((80, 200), far, np.float32)
    left[20:60, 80:140], right[20:60, 80 - near : 140 - near] = square, square
    disparity[20:60, 80:140] = near
    visible = np.ones((80, 200), bool)
    visible[:, :far] = False
    visible[20:60, 80 - near + far : 80] = False
    return left, right, disparity, visible


def test_the_square_before_the_wall():
    left, right, disparity, visible = pair()
    found = SemiGlobalMatcher(disparities=32)(left, right)
    assert found.dtype == np.float32
    known = np.isfinite(found)
    assert known[visible].mean() > 0.9
    assert known[20:60, 66:80].mean() < 0.5  # what only the left camera sees
    assert np.mean(np.abs(found - disparity)[known] <= 1) > 0.97
    filled = fill_from_left(torch.from_numpy(found)).numpy()
    figures = compare_disparity(filled, disparity, PROTOCOLS["disparity"]).regions
    assert figures["all"].values()["bad-2"] < 8


def test_without_margin_the_first_columns_are_not_known():
    left, right, _, _ = pair()
    assert np.isinf(SemiGlobalMatcher(disparities=32, margin=False)(left, right)[:, :32]).all()
    assert np.isfinite(SemiGlobalMatcher(disparities=32)(left, right)[:, 8:32]).mean() > 0.8


def test_the_right_image_has_its_own_disparity():
    left, right, _, _ = pair()
    found = SemiGlobalMatcher(disparities=32).right(left, right)
    assert np.median(found[25:55, 65:115]) == 20
    assert np.median(found[:15]) == 6


def test_as_a_model():
    left, right, disparity, _ = pair()
    images = {
        side: [torch.from_numpy(image.transpose(2, 0, 1).copy())]
        for side, image in (("left", left), ("right", right))
    }
    for checked in (False, True):
        preprocessor = dict(type="StereoDataPreprocessor", pad_divisor=64)
        model = SemiGlobalMatching(left_right=checked, disparities=32, data_preprocessor=preprocessor)
        (sample,) = model.test_step({"inputs": images, "data_samples": [StereoSample()]})
        assert sample.pred_disparity.shape == (1, 80, 200)
        assert torch.isfinite(sample.pred_disparity).all()
        sure = sample.pred_confidence[0].numpy() > 0
        assert np.mean(np.abs(sample.pred_disparity[0].numpy() - disparity)[sure] <= 1) > 0.97
    with pytest.raises(ConfigError, match="no parameters"):
        model({"left": torch.zeros(1, 3, 8, 8), "right": torch.zeros(1, 3, 8, 8)}, mode="loss")


@pytest.mark.parametrize("arguments", [dict(disparities=20), dict(block=4), dict(mode="2way")])
def test_settings_that_are_refused(arguments):
    with pytest.raises(ConfigError):
        SemiGlobalMatcher(**arguments)


def test_images_that_are_refused():
    left, right, _, _ = pair()
    for other in (right[:-1], right.astype(np.float32)):
        with pytest.raises(DataError, match="uint8 images of one size"):
            SemiGlobalMatcher()(left, other)

"""Whatever moves the pixels of a pair: ground truth says which ones match, and the rig where they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dense3d.datasets.stereo import croco_augmentation
from dense3d.datasets.stereo.colours import StereoColorJitter
from dense3d.datasets.stereo.croco_augmentation import (
    COLOURS,
    CrocoFlowAugmentation,
    CrocoStereoAugmentation,
    change_colours,
)
from dense3d.datasets.stereo.geometry import (
    CenterCropStereo,
    PadStereo,
    RandomCropStereo,
    ResizeStereo,
    StereoFlip,
    crop,
)
from dense3d.datasets.stereo.packing import PackStereoInputs
from dense3d.datasets.stereo.resampling import resize_nearest, scatter
from dense3d.errors import ConfigError, DataError
from dense3d.structures import RectifiedRig

HEIGHT, WIDTH = 96, 160
RIG = RectifiedRig(focal=120.0, baseline=0.5, cx=70.0, cy=50.0, width=WIDTH, height=HEIGHT)


@pytest.fixture(autouse=True)
def seeded():
    np.random.seed(0)
    torch.manual_seed(0)


def ramp():
    """A smooth pair: each pixel's colour is its place in the scene, a plane that leans towards the cameras.

    Red grows with the column of the scene, green with the row: what matches has one colour.
    """
    rows, columns = np.indices((HEIGHT, WIDTH), dtype=np.float64)
    disparity = 8 + 4 * rows / HEIGHT
    left = np.dstack([columns, rows, 0 * rows + 128])
    right = np.dstack([columns + 8 + 4 * rows / HEIGHT, rows, 0 * rows + 128])
    flow = np.dstack([-disparity, 0 * disparity]).astype(np.float32)
    disparity = disparity.astype(np.float32)
    disparity[:, :20] = flow[:, :20] = np.inf
    return dict(
        left=np.rint(left).astype(np.uint8),
        right=np.rint(right).astype(np.uint8),
        disparity=disparity,
        depth=np.where(np.isfinite(disparity), RIG.depth(disparity), 0).astype(np.float32),
        nonoccluded=np.isfinite(disparity),
        flow=flow,
        rig=RIG,
        left_path="l.png",
        img_shape=(HEIGHT, WIDTH),
    )


def mismatch(results):
    """Largest difference of colours between matches, by disparity and by flow, inside the images."""
    found = []
    known = np.isfinite(results["disparity"])
    sign = 1 if results.get("flipped") else -1
    for move in (sign * results["disparity"], results["flow"][..., 0]):
        rows, columns = np.indices(known.shape, dtype=np.float32)
        x, y = columns + move, rows + results["flow"][..., 1]
        inside = known & (x >= 1) & (x < known.shape[1] - 2) & (y >= 1) & (y < known.shape[0] - 2)
        x, y = (np.where(inside, side, 0).astype(np.float32) for side in (x, y))
        moved = cv2.remap(results["right"].astype(np.float32), x, y, cv2.INTER_LINEAR)
        assert inside.sum() > 100
        found.append(np.abs(moved - results["left"])[inside].max())
    return max(found)


def check_rig(results):
    """The depth of a pixel and the ray through it come from the rig, whatever became of the image."""
    known = np.isfinite(results["disparity"])
    depth = results["rig"].depth(results["disparity"][known])
    np.testing.assert_allclose(depth, results["depth"][known], rtol=0.02)
    np.testing.assert_array_equal(known, results["nonoccluded"])
    assert (results["rig"].width, results["rig"].height) == results["left"].shape[1::-1]


@pytest.mark.parametrize(
    "transform",
    [
        ResizeStereo(size=(144, 320)),
        ResizeStereo(scale=0.75, interpolation="area"),
        ResizeStereo(scale=(1.0, 1.5), interpolation="bicubic"),
        ResizeStereo(size=(48, 80), interpolation="lanczos"),
        StereoFlip(prob=1),
        StereoFlip(prob=1, direction="vertical"),
        RandomCropStereo((64, 96)),
        CenterCropStereo((None, 100)),
        CenterCropStereo(divisor=32),
        PadStereo(divisor=64),
        PadStereo((100, 200), where="left-top"),
        PadStereo((100, 201), where="centre"),
        CrocoFlowAugmentation((64, 96), colours=False),
        CrocoStereoAugmentation((64, 128), tilt_prob=0, colours=False),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_matches_still_match(transform):
    before = ramp()
    assert mismatch(before) <= 1
    for _ in range(3):
        results = transform.transform(ramp())
        assert mismatch(results) <= 2.5
        assert results["img_shape"] == results["left"].shape[:2] == results["right"].shape[:2]
        check_rig(results)
        for name in ("disparity", "depth", "flow"):
            assert results[name].dtype == np.float32
            assert not np.isnan(results[name]).any() and not (results[name] == -np.inf).any()


def test_sizes():
    assert ResizeStereo(scale=0.5).transform(ramp())["left"].shape == (48, 80, 3)
    assert CenterCropStereo(divisor=64).transform(ramp())["left"].shape == (64, 128, 3)
    assert PadStereo(divisor=64).transform(ramp())["left"].shape == (128, 192, 3)
    assert CrocoStereoAugmentation((90, 300)).transform(ramp())["left"].shape == (
        90,
        300,
        3,
    )  # was too narrow
    assert CrocoFlowAugmentation((120, 300)).transform(ramp())["left"].shape == (120, 300, 3)


def test_flow_pairs_are_stretched_where_they_are_scaled(monkeypatch):
    sizes = []
    monkeypatch.setattr(croco_augmentation, "stretch", lambda results, size, sparse: sizes.append(size))
    for scale_prob in (0, 1):
        augment = CrocoFlowAugmentation((32, 48), scale_prob, stretch_prob=1, colours=False)
        for _ in range(8):
            augment.transform(ramp())
        assert len(sizes) == 8 * scale_prob
    assert len({round(rows / columns, 2) for rows, columns in sizes}) > 4


def test_values_of_resized_ground_truth():
    results = ResizeStereo(size=(96, 320)).transform(ramp())
    np.testing.assert_allclose(results["disparity"][:, 80:], 2 * ramp()["disparity"][:, 40:].repeat(2, 1))
    assert (results["flow"][..., 1][np.isfinite(results["flow"][..., 0])] == 0).all()
    kept = ResizeStereo(size=(48, 80), keep_truth=True).transform(ramp())
    assert kept["disparity"].shape == (HEIGHT, WIDTH) and kept["rig"].width == 80
    np.testing.assert_array_equal(kept["disparity"], ramp()["disparity"])


def test_nearest_values_stand_at_pixel_centres():
    values = np.arange(12.0).reshape(1, 12)
    for width in (3, 4, 6, 24, 36):
        expected = Image.fromarray(values.astype(np.float32)).resize((width, 1), Image.Resampling.NEAREST)
        if width % 4:
            continue
        np.testing.assert_array_equal(resize_nearest(values, (1, width)), np.asarray(expected))


def test_sparse_values_are_moved_one_by_one():
    values = np.zeros((4, 6, 2), np.float32)
    known = np.zeros((4, 6), bool)
    known[1, 2] = known[3, 5] = True
    values[known] = [[1, 2], [3, 4]]
    moved = scatter(values, known, (8, 12), np.inf)
    assert np.isfinite(moved).all(axis=2).sum() == 2
    assert moved[3, 5].tolist() == [1, 2] and moved[7, 11].tolist() == [3, 4]
    results = ramp()
    results["flow"][np.random.random((HEIGHT, WIDTH)) < 0.9] = np.inf
    count = np.isfinite(results["flow"]).all(axis=2).sum()
    augmented = CrocoFlowAugmentation((192, 320), 0, 0, 0, 0, colours=False).transform(results)
    assert np.isfinite(augmented["flow"]).all(axis=2).sum() == pytest.approx(
        count * 192 * 320 / (200 * 328), rel=0.03
    )


def test_mirrored_pairs():
    once = StereoFlip(prob=1).transform(ramp())
    assert once["flipped"] and once["rig"].cx == WIDTH - 1 - RIG.cx
    packed = PackStereoInputs().transform(once)["data_samples"]
    assert packed.flipped and packed.baseline_sign == -1
    twice = StereoFlip(prob=1).transform(once)
    assert not twice["flipped"] and twice["rig"] == RIG
    for name in ("left", "right", "disparity", "flow"):
        np.testing.assert_array_equal(twice[name], ramp()[name])
    assert "flipped" not in StereoFlip(prob=0).transform(ramp())
    right = PackStereoInputs().transform({**ramp(), "reference": "right", "flipped": True})["data_samples"]
    assert right.baseline_sign == 1


def test_mirrored_and_exchanged_pairs_are_ordinary_ones():
    pair = {key: ramp()[key] for key in ("left", "right", "rig")}
    results = StereoFlip(prob=1, exchange=True).transform(pair)
    matched = np.abs(results["left"][:, 20:].astype(int) - results["right"][:, 10:-10])[..., 0].max()
    assert matched <= 5  # the match lies 8 to 12 columns further to the left again
    with pytest.raises(DataError, match="disparity belongs to the left image"):
        StereoFlip(prob=1, exchange=True).transform(ramp())


def test_crops_that_do_not_fit():
    with pytest.raises(DataError, match=r"l.png is 160 x 96 pixels here, less than the crop of 200 x 64"):
        RandomCropStereo((64, 200)).transform(ramp())
    with pytest.raises(DataError, match="less than the crop of 100 x 128"):
        CrocoStereoAugmentation((128, 100)).transform(ramp())
    for wrong in (dict(), dict(size=(4, 4), scale=2.0), dict(size=(0, 4))):
        with pytest.raises(ConfigError):
            ResizeStereo(**wrong)
    with pytest.raises(ConfigError, match="interpolation must be one of bilinear"):
        ResizeStereo(scale=0.5, interpolation="x").transform(ramp())
    with pytest.raises(ConfigError, match="where must be one of"):
        PadStereo(where="top")
    with pytest.raises(ConfigError, match="exchange needs a horizontal"):
        StereoFlip(direction="vertical", exchange=True)


def test_padding_is_unknown_and_continues_edges():
    results = PadStereo((100, 170)).transform(ramp())
    assert np.isinf(results["disparity"][96:]).all() and (results["depth"][:, 160:] == 0).all()
    assert not results["nonoccluded"][96:].any()
    np.testing.assert_array_equal(results["left"][99, :160], ramp()["left"][95])


def test_jitter_is_the_same_for_both_images_and_differs_by_level():
    same = {"left": ramp()["left"], "right": ramp()["left"].copy()}
    results = StereoColorJitter(levels=4).transform(dict(same))
    assert [image.shape for image in results["left_pyramid"]] == [
        (96, 160, 3), (48, 80, 3), (24, 40, 3), (12, 20, 3),
    ]  # fmt: skip
    for left, right in zip(results["left_pyramid"], results["right_pyramid"]):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(results["left"], results["left_pyramid"][0])
    assert (results["left"] != same["left"]).any()
    plain = StereoColorJitter(prob=0, levels=3).transform(dict(same))
    np.testing.assert_array_equal(plain["left"], same["left"])
    half = Image.fromarray(same["left"]).resize((80, 48), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(plain["left_pyramid"][1], np.asarray(half))
    quarter = half.resize((40, 24), Image.Resampling.LANCZOS)  # of the half, not of the whole
    np.testing.assert_array_equal(plain["left_pyramid"][2], np.asarray(quarter))
    plain = StereoColorJitter(prob=0, levels=4).transform(dict(same))["left_pyramid"]
    brightness = [new.mean() / old.mean() for new, old in zip(results["left_pyramid"], plain)]
    assert np.ptp(brightness) > 0.01
    with pytest.raises(DataError, match="put it last"):
        crop({**ramp(), **results}, 0, 0, (10, 10))


def test_jitter_of_frames_is_asymmetric_if_asked():
    same = {"left": ramp()["left"], "right": ramp()["left"].copy()}
    each = StereoColorJitter(0.4, 0.4, 0.4, 0.1, asymmetric_prob=1.0).transform(dict(same))
    assert (each["left"] != each["right"]).any()
    joint = StereoColorJitter(0.4, 0.4, 0.4, 0.1, joint=True).transform(dict(same))
    np.testing.assert_array_equal(joint["left"], joint["right"])


def test_disturbed_rectification_moves_the_right_image_alone():
    transform = CrocoStereoAugmentation((80, 120), scale_prob=0, flip_prob=0, tilt_prob=1, colours=False)
    moves = []
    for _ in range(20):
        results = transform.transform(ramp())
        plain = results["left"][..., 1].astype(float)
        assert (np.diff(plain, axis=1) == 0).all()  # rows of the left image are what they were
        moves.append((results["right"][5:-5, 40:-40, 1] - plain[5:-5, 40:-40]).mean())
    assert np.std(moves) > 0.3 and max(np.abs(moves)) < 2.5


def test_colours_of_the_stereo_augmentation():
    image = np.random.default_rng(1).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    changed, differing = 0, 0
    for _ in range(100):
        left, right = change_colours(image, image.copy())
        assert left.dtype == right.dtype == np.uint8
        changed += bool((left != image).any())
        differing += bool((left != right).any())
    # One transform in half of the cases (it fires with 1/2), five in the others (31/32).
    assert changed / 100 == pytest.approx(0.5 * 0.5 + 0.5 * 31 / 32, abs=0.15)
    assert 0.2 < differing / changed < 0.95
    assert {name: limits[1:] for name, limits in COLOURS.items()}["saturation"] == (0.8, 1.2)


def test_scales_of_the_stereo_augmentation():
    focals = []
    for _ in range(200):
        results = CrocoStereoAugmentation((64, 128), tilt_prob=0, colours=False).transform(ramp())
        assert results["rig"].focal_y == RIG.focal_y
        focals.append(results["rig"].focal / RIG.focal)
    assert np.mean(np.isclose(focals, 1)) == pytest.approx(0.5, abs=0.12)
    stretched = np.log2([factor for factor in focals if not np.isclose(factor, 1)])
    assert stretched.min() >= -0.01 and stretched.max() <= 1.01
    assert stretched.mean() == pytest.approx(0.5, abs=0.12)
    large = {**ramp()}
    for name in ("left", "right", "disparity", "depth", "nonoccluded", "flow"):
        large[name] = np.zeros((800, 900, *large[name].shape[2:]), large[name].dtype)
    large["rig"] = RIG.resized(900, 800)
    factors = []
    for _ in range(20):
        results = CrocoStereoAugmentation((32, 32), 1.0, tilt_prob=0, colours=False).transform(dict(large))
        factors.append(np.log2(results["rig"].focal / large["rig"].focal))
    assert -0.21 < min(factors) < 0 < max(factors) < 0.41

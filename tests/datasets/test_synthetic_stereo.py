"""Synthetic pairs: disparity and masks are those the scene's, in the rig's range, the same everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.cli.dispatch import main
from dense3d.datasets.synthetic import make_dataset
from dense3d.datasets.synthetic.renderer import Renderer
from dense3d.datasets.synthetic.sample import Sample, make_sample
from dense3d.datasets.synthetic.stereo_scenes import BASELINE, LARGEST
from dense3d.datasets.synthetic.writers.posed import VIEWS
from dense3d.datasets.synthetic.writers.stereo import disparity_of, seen_by_both, textureless
from dense3d.errors import DataError
from dense3d.structures import RectifiedRig

SIZE = (160, 96)
SCENES = 12
RECIPE = dict(layouts=("stereo",), train=2, val=1, size=SIZE, seed=5, progress=False)


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def read_pfm(path: Path) -> np.ndarray:
    _, size, _, content = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    return np.frombuffer(content, "<f4").reshape(height, width)[::-1]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [make_sample(5, "train", index, SIZE, "stereo") for index in range(SCENES)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stereo") / "data"
    assert make_dataset(root, workers=2, **RECIPE)
    return root


def test_cameras_are_a_rectified_rig(samples: list) -> None:
    for sample in samples:
        left, right = (frame.camera for frame in sample.frames)
        np.testing.assert_array_equal(left.intrinsics, right.intrinsics)
        moved = left.world_to_camera @ right.camera_to_world
        expected = np.eye(4)
        expected[0, 3] = BASELINE
        np.testing.assert_allclose(moved, expected, atol=1e-12)


def test_disparities_fill_the_range_and_stay_in_it(samples: list) -> None:
    width = SIZE[0]
    largest = []
    for sample in samples:
        disparity = disparity_of(sample.frames[0])
        known = disparity[np.isfinite(disparity)]
        assert known.size > 0.55 * disparity.size
        assert known.min() > 0 and known.max() <= LARGEST * width * 1.05
        assert known.max() > 1.7 * known.min()
        largest.append(known.max() / width)
    assert np.median(largest) > 0.1 and max(largest) > 0.15


def test_masks_agree_with_what_the_right_camera_renders(samples: list) -> None:
    """The right camera's own depth, beside a point, is the point's or that of something before it."""
    hidden = total = 0
    for sample in samples[:6]:
        left, right = sample.frames
        seen = seen_by_both(Renderer(sample.scene), left, right)
        rows, columns = np.nonzero(np.isfinite(left.depth))
        depth = left.depth[rows, columns]
        target = columns - disparity_of(left)[rows, columns]
        outside = target < -0.5
        assert not seen[rows, columns][outside].any()
        near = np.clip(np.stack([np.floor(target), np.ceil(target)]).astype(int), 0, SIZE[0] - 1)
        around = right.depth[rows, near]
        # a slanted surface has the point's depth between its neighbours'
        behind = (around.max(0) < depth * 0.97) & ~outside
        before = (around.min(0) > depth * 0.97) & (around.max(0) < depth * 1.03) & ~outside
        assert seen[rows, columns][behind].sum() <= 3  # through gaps thinner than a pixel
        assert seen[rows, columns][before].mean() > 0.998
        hidden, total = hidden + (behind.sum() + outside.sum()), total + depth.size
        assert (seen.sum() + behind.sum() + outside.sum()) > 0.97 * depth.size
    assert 0.05 < hidden / total < 0.3


def test_the_right_image_at_the_disparity_is_the_left_one(samples: list) -> None:
    for sample in samples[:6]:
        left, right = sample.frames
        seen = seen_by_both(Renderer(sample.scene), left, right)
        u, v = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
        errors = []
        for shift in (0, -2, 2):
            x = np.where(seen, u - disparity_of(left) + shift, 0).astype(np.float32)
            warped = cv2.remap(right.rgb, x, v.astype(np.float32), cv2.INTER_LINEAR)
            errors.append(np.abs(warped.astype(float) - left.rgb)[seen].mean())
        assert errors[0] < 7 and errors[0] < 0.5 * min(errors[1:])


def test_some_surfaces_have_no_texture_and_most_have(samples: list) -> None:
    parts = []
    for sample in samples:
        frame = sample.frames[0]
        parts.append(textureless(frame.rgb)[np.isfinite(frame.depth)].mean())
    assert 0.05 < np.mean(parts) < 0.4
    even = np.full((8, 8, 3), 90, np.uint8)
    even[:, 4:] = 94
    expected = np.zeros((8, 8), bool)
    expected[:, [0, 1, 6, 7]] = True  # gradient 2 in columns 3 and 4: 4/3 and 8/3 in the means over 3
    assert textureless(even).all()
    even[:, 4:] = 98
    np.testing.assert_array_equal(textureless(even), expected)


def test_files_hold_what_the_scene_has(made: Path, samples: list) -> None:
    rig = RectifiedRig(**json.loads((made / "rig.json").read_text()))
    assert (rig.width, rig.height, rig.focal, rig.baseline) == (*SIZE, 0.75 * SIZE[0], BASELINE)
    for index in range(2):
        left, right = samples[index].frames
        folder, name = made / "train", f"{index:06d}"
        disparity = read_pfm(folder / "disparity" / f"{name}.pfm")
        np.testing.assert_array_equal(disparity, disparity_of(left))
        known = np.isfinite(left.depth)
        np.testing.assert_allclose(rig.depth(disparity)[known], left.depth[known], rtol=1e-6)
        seen = seen_by_both(Renderer(samples[index].scene), left, right)
        for kind, mask in (("nonoccluded", seen), ("textureless", textureless(left.rgb))):
            np.testing.assert_array_equal(read(folder / kind / f"{name}.png"), np.where(mask, 255, 0))
        noise = [
            read(folder / side / f"{name}.png")[..., ::-1].astype(float) - frame.rgb
            for side, frame in (("left", left), ("right", right))
        ]
        assert all(0.3 < part.std() < 4 and abs(part.mean()) < 0.3 for part in noise)
        assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02  # two sensors
    assert sorted(path.name for path in (made / "val").iterdir()) == sorted(
        ["left", "right", "disparity", "nonoccluded", "textureless"]
    )


def test_any_number_of_workers_writes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    assert make_dataset(tmp_path / "data", workers=1, **RECIPE)
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert len(files) == 3 * 5 + 2 + 2 * (2 * VIEWS + 1)
    for file in files:
        assert (tmp_path / "data" / file).read_bytes() == (made / file).read_bytes(), file


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["make-synthetic", "stereo", str(tmp_path / "s"), "--train", "1", "--val", "0", "--size", "64x32"]
    assert main(words) == 0
    assert "1 train and 0 val pairs in" in capsys.readouterr().out
    assert read(tmp_path / "s" / "train" / "left" / "000000.png").shape == (32, 64, 3)
    assert main(words) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main([*words[:2], str(tmp_path / "t"), "--layouts", "coco"]) == 2
    assert "need different scenes" in capsys.readouterr().err


def test_other_layouts_have_one_camera(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="layouts coco need scenes of 'room', not of 'stereo'"):
        make_dataset(tmp_path / "data", scenes="stereo", train=1, val=0, workers=1, progress=False)

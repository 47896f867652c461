"""Lists of pairs, their data set, and crops and colours that differ between the views as they should."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from dense3d.datasets.cross_view import read_pairs, write_pairs
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS, TRANSFORMS

PIPELINE = [
    dict(type="LoadCrossViews"),
    dict(type="CrossViewCrop", size=32, window=40),
    dict(type="CrossViewColor"),
    dict(type="PackStereoInputs"),
]


@pytest.fixture(autouse=True)
def own_scope():
    np.random.seed(0)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, shape in (
        ("a 1.png", (48, 64)),
        ("b.png", (60, 50)),
        ("sub/c_1.jpg", (40, 40)),
        ("sub/c_2.jpg", (40, 80)),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (*shape, 3), dtype=np.uint8))
    (tmp_path / "pairs.txt").write_text("a 1.png\tb.png\nb.png sub/c_1.jpg\n\n# one name: CroCo v1\nsub/c\n")
    return tmp_path


def build(root: Path, **settings):
    return DATASETS.build(dict(type="CrossViewPairs", data_root=str(root), pipeline=PIPELINE, **settings))


def test_all_forms_of_lists_are_read_and_written_lists_read_back(listed: Path) -> None:
    pairs = [("a 1.png", "b.png"), ("b.png", "sub/c_1.jpg"), ("sub/c_1.jpg", "sub/c_2.jpg")]
    assert read_pairs(listed / "pairs.txt") == pairs
    write_pairs(listed / "again.txt", pairs)
    assert (listed / "again.txt").read_text().splitlines()[1] == "b.png sub/c_1.jpg"
    assert read_pairs(listed / "again.txt") == pairs
    for name in ("a\tb", "a\nb", "#a", "", " a"):
        with pytest.raises(DataError, match="rename the file"):
            write_pairs(listed / "again.txt", [(name, "b.png")])
    assert read_pairs(listed / "again.txt") == pairs


def test_samples_have_crops_of_one_size_and_no_rig(listed: Path) -> None:
    dataset = build(listed, ann_file=["pairs.txt", "pairs.txt"])
    assert len(dataset) == 6
    for index in range(3):
        sample = dataset[index]
        assert {side: tuple(view.shape) for side, view in sample["inputs"].items()} == {
            "left": (3, 32, 32),
            "right": (3, 32, 32),
        }
        assert all(view.dtype == torch.uint8 for view in sample["inputs"].values())
        assert sample["data_samples"].img_shape == (32, 32)
        assert sample["data_samples"].sample_id == f"pairs/{index}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a 1.png b.png\n", "line 1: 'a 1.png b.png' is not 'path1 path2'; names that contain spaces"),
        ("b.png\t\n", "b.png_1.jpg, which .*pairs.txt names, does not exist .2 of 2 pictures do not.: check"),
        ("\n# nothing\n", "lists no pair"),
        ("b.png gone.png\n", "gone.png, which .*pairs.txt names, does not exist: check data_root"),
    ],
)
def test_faults_of_lists_are_named(listed: Path, text: str, told: str) -> None:
    (listed / "pairs.txt").write_text(text)
    with pytest.raises(DataError, match=told):
        build(listed)


def test_missing_lists_folders_and_broken_pictures(listed: Path) -> None:
    with pytest.raises(DataError, match=r"none.txt does not exist: dense3d make-pairs writes such a list"):
        build(listed, ann_file="none.txt")
    with pytest.raises(DataError, match="no folder: set data_root"):
        build(listed / "no")
    (listed / "pairs.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(DataError, match="cannot be read as a list of pairs"):
        build(listed)
    (listed / "pairs.txt").write_text("b.png sub/c_1.jpg\nsub/c\n")
    content = (listed / "sub/c_2.jpg").read_bytes()
    (listed / "sub/c_2.jpg").write_bytes(content[: len(content) // 2])
    assert build(listed)[0]
    with pytest.raises(DataError, match=r"c_2.jpg"):
        build(listed)[1]
    skipping = build(listed, skip_bad_samples=True)
    assert skipping[1] and len(skipping.bad_samples()) == 1
    (listed / "sub/c_2.jpg").unlink()
    with pytest.raises(DataError, match=r"c_2.jpg does not exist"):
        build(listed, check_files=False)[1]


def test_crops_are_independent_within_one_window() -> None:
    rows, columns = np.mgrid[0:64, 0:128].astype(np.uint8)
    picture = np.stack([rows, columns, rows], axis=-1)
    crop = TRANSFORMS.build(dict(type="CrossViewCrop", size=(24, 28), window=(64, 64)))
    moves, places = set(), set()
    for _ in range(200):
        done = crop(dict(left=picture, right=picture))
        corners = [tuple(int(value) for value in done[side][0, 0, :2]) for side in ("left", "right")]
        for side, (top, left) in zip(("left", "right"), corners):
            np.testing.assert_array_equal(done[side], picture[top : top + 24, left : left + 28])
        moves.add((corners[1][0] - corners[0][0], corners[1][1] - corners[0][1]))
        places.add(corners[0])
    assert len(moves) > 150 and len(places) > 150
    assert max(abs(move[1]) for move in moves) <= 64 - 28
    assert max(place[1] for place in places) > 64 and max(abs(move[0]) for move in moves) > 30
    middle = TRANSFORMS.build(dict(type="CrossViewCrop", size=24, window=64, random=False))
    done = middle(dict(left=picture, right=picture))
    np.testing.assert_array_equal(done["left"], picture[20:44, 52:76])
    np.testing.assert_array_equal(done["left"], done["right"])


def test_colours_change_by_at_most_the_stated_factors_and_independently() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    means = []
    for _ in range(200):
        done = TRANSFORMS.build(dict(type="CrossViewColor"))(dict(left=grey, right=grey))
        means.append([done[side].mean() for side in ("left", "right")])
    means = np.array(means)
    assert means.min() >= 57 and means.max() <= 141  # up to rounding, contrast and saturation leave even grey
    assert means.min() < 65 and means.max() > 135
    assert abs(np.corrcoef(means.T)[0, 1]) < 0.25
    np.testing.assert_array_equal(grey, 100)
    same = TRANSFORMS.build(dict(type="CrossViewColor", independent=False))(dict(left=grey, right=grey))
    np.testing.assert_array_equal(same["left"], same["right"])


def test_wrong_sizes() -> None:
    with pytest.raises(ConfigError, match="must hold the crop"):
        TRANSFORMS.build(dict(type="CrossViewCrop", size=224, window=200))
    crop = TRANSFORMS.build(dict(type="CrossViewCrop"))
    with pytest.raises(DataError, match="too small for a window"):
        crop(dict(left=np.zeros((4, 4, 3), np.uint8), right=np.zeros((4, 4, 3), np.uint8)))

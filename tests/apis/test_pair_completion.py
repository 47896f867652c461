"""Cross-view completion by the predictor and by ``dense3d infer``: two views, of any sizes, four panels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import PairPredictor, build_model, infer_pairs
from dense3d.cli.dispatch import main
from dense3d.errors import ConfigError

CONFIG = """
_base_ = ["dense3d::_base_/models/croco_tiny.py"]
default_scope = "dense3d"
test_dataloader = dict(batch_size=1, dataset=dict(type="SyntheticStereo", data_root="none", pipeline=[
    dict(type="LoadCrossViews"),
    dict(type="CrossViewCrop", size=(48, 64), window=(48, 64), random=False),
    dict(type="PackStereoInputs"),
]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    (folder / "config.py").write_text(CONFIG)
    torch.manual_seed(0)
    model = build_model(folder / "config.py")
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "model.pth")
    random = np.random.default_rng(0)
    for name, size in (("first", (48, 64)), ("second", (96, 200))):
        (folder / name).mkdir()
        for number in range(2):
            image = random.integers(0, 255, (*size, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), image)
    return folder


def test_a_view_is_completed_from_the_other(place):
    predictor = dense3d.load(place / "config.py", place / "model.pth", device="cpu")
    assert isinstance(predictor, PairPredictor)
    result = predictor(place / "first/0.png", place / "second/0.png")
    assert result.fields == ("original", "masked", "reconstruction", "reference")
    first = cv2.imread(str(place / "first/0.png"))[..., ::-1]
    np.testing.assert_array_equal(result.original, first)  # of the window's size: nothing is cut off
    hidden = (result.masked == 128).all(axis=2)
    assert hidden.mean() == pytest.approx(10 / 12)  # int(0.9 * 12) patches of 16 pixels
    np.testing.assert_array_equal(result.reconstruction[~hidden], first[~hidden])
    assert result.plot().shape[1] > 4 * 300


def test_the_command_draws_every_pair(place, tmp_path, capsys):
    words = ["infer", place / "config.py", place / "model.pth", place / "first", place / "second"]
    assert main([*map(str, words), "--out", str(tmp_path), "--device", "cpu", "--batch-size", "2"]) == 0
    said = capsys.readouterr()
    assert "2 pairs" in said.out and "pictures" in said.out and not said.err
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"0.jpg", "1.jpg"}


def test_an_unreadable_view_is_left_out(place, tmp_path, capsys):
    (tmp_path / "second").mkdir()
    content = (place / "second/0.png").read_bytes()
    (tmp_path / "second/0.png").write_bytes(content)
    (tmp_path / "second/1.png").write_bytes(content[: len(content) // 2])
    words = ["infer", place / "config.py", place / "model.pth", place / "first", tmp_path / "second"]
    assert main([*map(str, words), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "1 pairs" in said.out and "second/1.png" in said.err


def test_a_calibration_means_nothing(place, tmp_path):
    from dense3d.structures import RectifiedRig

    sides = (place / "first/0.png", place / "second/0.png")
    rig = RectifiedRig(focal=100.0, baseline=0.4, cx=31.5, cy=23.5, width=64, height=48)
    with pytest.raises(ConfigError, match="completes views takes no calibration"):
        infer_pairs(place / "config.py", place / "model.pth", *sides, tmp_path / "out", rig=rig)

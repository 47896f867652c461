"""`dense3d rectify` from photographs to pairs that a stereo network takes."""

import json

import cv2
import numpy as np
import pytest
from stereo.rig.photographs import cameras, photographs
from stereo.rig.test_calibration_files import opencv

from dense3d.cli.dispatch import main
from dense3d.structures import RectifiedRig


@pytest.fixture(scope="module")
def pairs():
    return [photographs(cameras(), seed) for seed in range(2)]


@pytest.fixture
def rig(tmp_path, pairs):
    for number, pair in enumerate(pairs):
        for side, image in zip(("left", "right"), pair):
            (tmp_path / side).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / side / f"{number}.png"), image)
    opencv(tmp_path / "stereo.yaml")
    return tmp_path


def words(rig, *more, left="left", right="right"):
    return [
        "rectify",
        str(rig / left),
        str(rig / right),
        str(rig / "stereo.yaml"),
        "--out",
        str(rig / "out"),
        *more,
    ]


def test_folders_become_pairs_with_their_rig(rig, capsys):
    assert main(words(rig)) == 0
    out = capsys.readouterr().out
    assert "median vertical residual 0.0" in out.split("rectified:")[1] and "over 2 pairs" in out
    numbers = RectifiedRig(**json.loads((rig / "out/rig.json").read_text()))
    assert numbers.baseline == pytest.approx(cameras().baseline)
    for number in range(2):
        names = (f"left/{number}.png", f"right/{number}.png", f"check/{number}.jpg")
        left, right, drawn = (cv2.imread(str(rig / "out" / name)) for name in names)
        assert left.shape == right.shape == (320, 480, 3) and drawn.shape == (320, 960, 3)


def test_faults_are_named_and_the_status_says_so(rig, capsys):
    assert main(words(rig, "--baseline", "0.4", left="right/0.png", right="left/0.png")) == 1
    said = capsys.readouterr()
    assert "0.5 times the measured 0.4 m" in said.err and "left and right are swapped" in said.err
    assert main(words(rig, "--unit", "mm", left="left/0.png", right="right/0.png")) == 1
    assert "which no rig has" in capsys.readouterr().err


def test_photographs_without_a_partner_are_named(rig, capsys):
    (rig / "right/1.png").rename(rig / "right/2.png")
    assert main(words(rig)) == 2 and "1, 2 has no partner" in capsys.readouterr().err


def test_one_broken_photograph_is_left_out(rig, capsys):
    (rig / "right/1.png").write_bytes(b"nothing")
    assert main(words(rig)) == 1
    assert "1.png: no readable image" in capsys.readouterr().err
    assert sorted(path.name for path in (rig / "out/left").iterdir()) == ["0.png"]


@pytest.mark.parametrize(
    "more, sentence",
    [
        (("--size", "big"), "no WIDTHxHEIGHT"),
        (("--alpha", "3"), "between 0 and 1"),
        (("--baseline", "-1"), "positive"),
    ],
)
def test_odd_options_are_a_sentence(rig, capsys, more, sentence):
    assert main(words(rig, *more)) == 2
    assert sentence in capsys.readouterr().err


def test_photographs_of_another_size_or_number_are_refused(rig, capsys):
    for side in ("left", "right"):
        image = cv2.imread(str(rig / side / "0.png"))
        cv2.imwrite(str(rig / side / "0.png"), cv2.resize(image, (240, 160), interpolation=cv2.INTER_AREA))
    assert main(words(rig)) == 2 and "--scale-intrinsics" in capsys.readouterr().err
    assert main(words(rig, "--scale-intrinsics", left="left/0.png", right="right/0.png")) == 0
    np.testing.assert_equal(cv2.imread(str(rig / "out/left/0.png")).shape, (160, 240, 3))
    (rig / "left/1.png").unlink()
    assert main(words(rig)) == 2 and "1 images" in capsys.readouterr().err

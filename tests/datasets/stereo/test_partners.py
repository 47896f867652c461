"""Names of the files of two cameras: who belongs to whom, and where names say nothing."""

from pathlib import Path

import pytest

from dense3d.datasets.stereo.partners import partner_fault


def said(left, right, sides=("left", "right")):
    pairs = zip(sides, (left, right))
    return partner_fault(*([Path(f"{side}/{name}.png") for name in sorted(names)] for side, names in pairs))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (["0", "1", "2"], ["0", "1", "2"]),
        (["left_1", "left_10", "left_2"], ["right_1", "right_10", "right_2"]),
        (["cam0_08_a", "cam0_09_a"], ["cam1_08_a", "cam1_09_a"]),
        (["l_1000", "l_1033", "l_1066"], ["r_1001", "r_1034", "r_1066"]),  # clocks of their own
        (["first", "second"], ["eins", "zwei"]),
        (["a1", "b"], ["c1", "d"]),  # a number in some names only
        (["left"], ["right"]),
        (["im0"], ["im1"]),
    ],
)
def test_names_that_agree_or_say_nothing(left, right):
    assert said(left, right) is None


def test_folders_that_sort_unlike():
    """``left_10`` comes before ``left_2``, ``right_10`` after ``right_02``."""
    left, right = [f"left_{n}" for n in (1, 2, 10)], [f"right_{n:02}" for n in (1, 2, 10)]
    assert "left_10.png would be paired with right_02.png" in said(left, right)
    assert said([f"left_{n:02}" for n in (1, 2, 10)], right) is None


def test_lists_in_unlike_order():
    files = [Path("0.png"), Path("1.png")]
    assert "0.png would be paired with 1.png" in partner_fault(files, files[::-1])


def test_a_frame_that_one_camera_lost():
    left, right = [f"left_{n}" for n in (1, 2, 3, 5)], [f"right_{n}" for n in (1, 2, 4, 5)]
    assert said(left, right) == "left_3, right_4 has no partner"
    assert said(["1", "2"], ["2", "3"]) == "1, 3 has no partner"

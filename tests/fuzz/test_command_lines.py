"""Command lines with wrong, missing and absurd words: a success, or one sentence and status 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dense3d
from dense3d.cli.dispatch import COMMANDS, main
from tests.fuzz.outcomes import assert_clear

# Words that stand where a sound one should. CONFIG, FOLDER, FILE and EMPTY are made for each run.
ODD = (
    "", " ", "-1", "0", "1e309", "nan", "inf", "99999999999999999999", "\u202eé", "x" * 300, "--", "foo",
    "None", "{}", "/dev/null", "/dev/full", "/proc/1/mem", "/", "~", "a/../../b", "CONFIG", "FOLDER", "FILE",
    "EMPTY", "FILE/below", "--device=foo", "--batch-size=-1", "--size=0x0", "--cfg-options",
    "--cfg-options=a", "--score-threshold=nan", "--seed=-1", "--number=-5", "--work-dir=FILE/below",
    "--out=FILE", "--out=FOLDER", "--json=FOLDER", "--amp", "--tta", "--check", "--resume", "--workers=0",
    "--threads=0", "--unknown",
)  # fmt: skip
SOUND: dict[str, tuple[str, ...]] = {
    "train": ("CONFIG", "--work-dir", "FOLDER"),
    "test": ("CONFIG", "FILE", "--out", "FOLDER"),
    "infer": ("CONFIG", "FILE", "FILE", "--out", "FOLDER", "--device", "cpu", "--batch-size", "1"),
    "export": ("CONFIG", "FILE", "FOLDER/out.onnx", "--size", "64x64"),
    "convert": ("dino", "FILE", "FOLDER/out.pth"),
    "benchmark": ("ops", "nope", "--device", "cpu"),
    "configs": ("dino",),
    "env": (),
    "browse": ("CONFIG", "--out", "FOLDER", "--number", "1"),
    "check-data": ("coco", "FOLDER"),
    "make-synthetic": ("coco", "FILE", "--train", "1", "--val", "1", "--size", "64x64", "--workers", "1"),
    "convert-panoptic": ("FILE", "FOLDER"),
    "prepare": ("scannet", "FOLDER", "FOLDER/prepared", "--workers", "1"),
    "analyse-relations": ("FILE", "--out", "FOLDER"),
    "eval-kitti": ("FOLDER", "FOLDER"),
    "eval-panoptic": ("FILE", "FILE", "--workers", "1"),
    "transfer-function": ("FILE", "--no-browser", "--port", "0", "--session", "FOLDER/session.json"),
    "eval-depth": ("FOLDER", "FOLDER", "--protocol", "kitti-eigen-garg"),
    "eval-boxes3d": ("FILE", "FILE", "--protocol", "indoor"),
    "make-pairs": ("FOLDER", "--out", "FOLDER/pairs.txt"),
    "rectify": ("FILE", "FILE", "FILE", "--out", "FOLDER/rectified"),
    "compare-runs": ("FOLDER", "FOLDER"),
    "compare-backbones": (
        "FOLDER/battle",
        "--backbones",
        "Swin (V1)",
        "--tasks",
        "classification",
        "--config",
        "CONFIG",
    ),
    "derive-depths": ("CONFIG", "FILE", "FOLDER/out.json"),
    "fit-splats": ("FOLDER", "--out", "FOLDER/fit", "--steps", "2", "--cap", "100"),
    "render-splats": ("FILE", "FOLDER", "--out", "FOLDER/renders"),
    "extract-grid": ("FOLDER", "--out", "FOLDER/grid", "--steps", "2", "--resolution", "16"),
    "draw-scenes": ("CONFIG", "FILE", "--out", "FOLDER/pictures"),
    "few-shot": ("CONFIG", "--checkpoint", "FILE"),
    "probe-clouds": ("CONFIG", "--checkpoint", "FILE"),
    "probe-scenes": ("CONFIG", "--checkpoint", "FILE", "--shares", "10", "100"),
    "exit-curve": ("CONFIG", "FILE", "FILE", "--beta", "0"),
}


@st.composite
def lines(draw: st.DrawFn, words: tuple[str, ...]) -> list[str]:
    line = list(words)
    for _ in range(draw(st.integers(1, 3))):
        change = draw(st.sampled_from(["replace", "insert", "remove", "swap"]))
        place = draw(st.integers(0, max(0, len(line) - 1)))
        if change == "insert" or not line:
            line.insert(place, draw(st.sampled_from(ODD)))
        elif change == "replace":
            line[place] = draw(st.sampled_from(ODD))
        elif change == "remove":
            del line[place]
        else:
            line[0], line[place] = line[place], line[0]
    return line


def run(line: list[str], folder: Path) -> None:
    """The command; status 1 is an answer of some, such as faults of data."""
    os.chdir(folder)
    status: Any = main(line)
    if status not in (0, 1):
        sys.exit(status)


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What the forked processes would import, each of them anew."""
    main(["env"])
    dense3d.build_model("dino_r18_synthetic-coco")


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.json").write_text('{"images": 3}')
    (tmp_path / "empty").touch()
    config = tmp_path / "config.py"
    config.write_text("_base_ = 'dense3d::synthetic/dino_r18_synthetic-coco.py'\ndata_root = 'nowhere/'\n")
    names = {"CONFIG": config, "FOLDER": tmp_path / "folder", "FILE": tmp_path / "file.json"}
    return {**{key: str(path) for key, path in names.items()}, "EMPTY": str(tmp_path / "empty")}


def filled(line: list[str], places: dict[str, str]) -> list[str]:
    for key, place in places.items():
        line = [word.replace(key, place) for word in line]
    return line


def test_every_command_has_a_line() -> None:
    assert set(SOUND) == set(COMMANDS)


@pytest.mark.parametrize("command", SOUND)
def test_odd_command_lines_end_clearly(
    profile, command: str, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    # more than 2,000 of all commands together in the slow profile
    @settings(profile, max_examples=max(8, profile.max_examples // 16))
    @given(lines(SOUND[command]))
    def ends_clearly(line: list[str]) -> None:
        assert_clear(run, [command, *filled(line, places)], tmp_path, seconds=60.0)

    ends_clearly()

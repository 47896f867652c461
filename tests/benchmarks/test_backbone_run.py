"""The suite ``backbones`` from the command line: sizes, notes, growth over the size of images."""

from __future__ import annotations

import pytest
from PIL import Image

from dense3d.benchmarks.backbone_scaling import MIXERS, SOFTMAX, growth
from dense3d.benchmarks.backbones import CASES
from dense3d.benchmarks.image_workloads import at_sizes
from dense3d.cli.dispatch import main


def test_cases_at_other_sizes():
    case = next(case for case in CASES if case.name == "RMT")
    (changed,) = at_sizes([case], sides=(64, 96), batch=2, precisions=("bf16",))
    assert list(changed.sizes) == ["2 images of 64, bfloat16", "2 images of 96, bfloat16"]
    assert all(
        size["arch"] == case.sizes["1 image of 224, float32"]["arch"] for size in changed.sizes.values()
    )


def test_a_family_that_is_timms_says_so(capsys):
    assert main(["benchmark", "backbones", "CrossViT", "--size", "64", "--threads", "1", "--cpu-time"]) == 0
    assert "CrossViT: its blocks are timm's" in capsys.readouterr().out


def test_growth_is_printed_and_drawn(tmp_path, capsys):
    picture = tmp_path / "growth.png"
    words = [
        "benchmark",
        "backbones",
        "--scaling",
        "--size",
        "224",
        "448",
        "--repeats",
        "1",
        "--out",
        str(picture),
    ]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert all(f"{name} " in printed for name in MIXERS) and str(picture) in printed
    assert min(Image.open(picture).size) > 400
    assert growth({32: 1.0, 64: 4.0}) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["RMTT"], "'RMTT'"),
        (["--scaling", "--only", "softmax atention"], SOFTMAX),
        (["--scaling", "--size", "224"], "two sizes"),
        (["--scaling", "--batch", "2"], "--batch"),
        (["--size", "100"], "multiples of 32"),
        (["--batch", "1", "2"], "one batch"),
        (["--precision", "fp8"], "fp8"),
        (["--cpu-time", "--threads", "2"], "--threads 1"),
    ],
)
def test_what_does_not_fit_is_named(words, named, capsys):
    assert main(["benchmark", "backbones", *words]) != 0
    assert named in capsys.readouterr().err

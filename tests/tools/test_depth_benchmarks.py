"""The suites ``stereo`` and ``depth-metrics``: the table on real pairs, and contenders that agree."""

from __future__ import annotations

import json

import pytest
import torch

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.depth_metrics import CASES
from dense3d.cli.dispatch import main


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contenders_compute_the_same(case):
    workload = case.build(torch.device("cpu"), **case.tiny)
    ours, loop = (call() for call in workload.contenders.values())
    torch.testing.assert_close(ours, loop, check_dtype=False)


def test_semi_global_matching_on_the_real_pairs(sample_data, monkeypatch, tmp_path, capsys):
    """OpenCV's result with documented settings; its versions may differ a little."""
    monkeypatch.setenv("DENSE3D_SAMPLE_DATA", str(sample_data))
    files = ("--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md", "--pictures", tmp_path)
    assert main(["benchmark", "stereo", "kitti-000046", "motorcycle", *map(str, files)]) == 0
    printed = capsys.readouterr().out
    assert "protocol kitti-2015" in printed and "protocol middlebury" in printed
    found = {(row["pair"], row["method"]): row for row in json.loads((tmp_path / "a.json").read_text())}
    bare, filled = "the same without margin", "SGBM, filled from the left"
    kitti, motorcycle = found["kitti-000046", bare], found["motorcycle", bare]
    assert kitti["regions"]["all"]["D1"] == pytest.approx(4.45, abs=0.3)
    assert motorcycle["regions"]["all"]["bad-2"] == pytest.approx(10.55, abs=0.3)
    assert motorcycle["regions"]["nonoccluded"]["bad-2"] == pytest.approx(5.62, abs=0.3)
    for pair, metric in (("kitti-000046", "D1"), ("motorcycle", "bad-2")):
        figures = {method: row["regions"]["all"][metric] for (p, method), row in found.items() if p == pair}
        assert figures[filled] < figures[bare] < figures["SGBM, sure pixels only"]
        assert figures[filled] < 0.2 * figures["mean of the ground truth"]
        assert found[pair, filled]["holes"] == 0 < found[pair, "SGBM, sure pixels only"]["holes"]
    assert {path.name for path in tmp_path.glob("*.png")} == {"kitti-000046.png", "motorcycle.png"}
    assert len((tmp_path / "a.md").read_text().splitlines()) == 2 + 8


def test_every_pair_is_of_the_sample_data(sample_data):
    for case in load_cases("stereo"):
        packed = case.read(sample_data)
        assert packed["data_samples"].gt_disparity.isfinite().any()

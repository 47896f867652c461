"""The suites ``stereo`` and ``depth-metrics``: the table on real pairs, and contenders that agree."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from mmengine.runner import save_checkpoint

from dense3d.apis import build_model
from dense3d.benchmarks import load_cases
from dense3d.benchmarks.depth_metrics import CASES
from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.datasets.stereo import read_rig


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contenders_compute_the_same(case):
    workload = case.build(torch.device("cpu"), **case.tiny)
    ours, loop = (call() for call in workload.contenders.values())
    torch.testing.assert_close(ours, loop, check_dtype=False)


def test_semi_global_matching_on_the_real_pairs(sample_data, monkeypatch, tmp_path, capsys):
    """OpenCV's result with documented settings; its versions may differ a little."""
    monkeypatch.setenv("DENSE3D_SAMPLE_DATA", str(sample_data))
    files = ("--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md", "--pictures", tmp_path)
    config = ("--model", "as a config", "sgbm_kitti-2015", "none")
    assert main(["benchmark", "stereo", "kitti-000046", "motorcycle", *config, *map(str, files)]) == 0
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
        assert figures["as a config"] == pytest.approx(figures[filled], abs=1.0)  # 80 and 192 disparities
        assert found[pair, filled]["holes"] == 0 < found[pair, "SGBM, sure pixels only"]["holes"]
    assert {path.name for path in tmp_path.glob("*.png")} == {"kitti-000046.png", "motorcycle.png"}
    assert len((tmp_path / "a.md").read_text().splitlines()) == 2 + 10


def test_every_pair_is_of_the_sample_data(sample_data):
    for case in load_cases("stereo"):
        sample = case.read(sample_data)["data_samples"]
        assert sample.gt_disparity.isfinite().any()
        assert (sample.rig.height, sample.rig.width) == sample.img_shape


def test_the_rig_of_kitti_is_that_of_a_frame_of_the_same_cameras(sample_data):
    (case,) = load_cases("stereo", ["kitti-000046"])
    assert asdict(case.rig) == pytest.approx(
        asdict(read_rig(sample_data / "kitti/testing/calib/000000.txt", (1242, 375)))
    )


def test_a_network_that_needs_the_rig_runs_and_is_called_transfer(sample_data, monkeypatch, tmp_path):
    cfg = load_config("ccnext_r18_synthetic-stereo")
    cfg.model.backbone.model_kwargs = dict(stem_type="deep", stem_width=8, channels=(8, 8, 8, 8))
    cfg.model.decoder.channels = (4, 4, 4, 4, 4)
    cfg.dump(tmp_path / "tiny.py")
    save_checkpoint(dict(state_dict=build_model(cfg).state_dict()), str(tmp_path / "tiny.pth"))
    monkeypatch.setenv("DENSE3D_SAMPLE_DATA", str(sample_data))
    monkeypatch.setattr("dense3d.benchmarks.stereo_run.baselines", lambda case: {})
    command = ["benchmark", "stereo", "kitti-000046", "motorcycle", "--scale", "0.25"]
    command += ["--json", str(tmp_path / "a.json"), "--model", "CCNeXt"]
    assert main([*command, str(tmp_path / "tiny.py"), str(tmp_path / "tiny.pth")]) == 0
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [row["method"] for row in rows] == 2 * ["CCNeXt (transfer)"]
    assert all(np.isfinite(row["regions"]["all"]["EPE"]) and row["holes"] == 0 for row in rows)
    assert set(rows[1]["regions"]) == {"all", "nonoccluded", "occluded"}

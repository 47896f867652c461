"""Semi-global matching by the commands: a config of its own, no checkpoint, a figure for every pixel."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist

import dense3d
from dense3d import apis
from dense3d.cli.dispatch import main
from dense3d.datasets.stereo.pfm import read_pfm
from dense3d.errors import ConfigError
from dense3d.stereo.block_matching import SemiGlobalMatching
from tests.datasets.stereo import layouts
from tests.datasets.stereo.layouts import HEIGHT, SHIFT, WIDTH

OPTIONS = ("test_dataloader.num_workers=0", "test_dataloader.persistent_workers=False")


def measured(config: str, root, out, *more: str) -> dict[str, float]:
    words = ["test", config, "none", "--out", str(out), "--work-dir", str(out / "run")]
    assert main([*words, "--cfg-options", f"data_root={root}", *OPTIONS, *more]) == 0
    return json.loads((out / "metrics.json").read_text())


def figures(out) -> list[dict[str, str]]:
    """A row a pair."""
    with (out / "predictions.disparity.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["sgbm_middlebury", "sgbm_middlebury_without-margin"])
def test_the_command_measures_every_pixel(name, tmp_path):
    """The scene is a wall of one disparity: what is not matched and filled right tells of a fault."""
    layouts.middlebury(tmp_path / "data")
    found = measured(name, tmp_path / "data", tmp_path / "out", "model.disparities=16")
    assert found["disparity/EPE"] < 0.3 and found["disparity/bad-2"] < 2
    rows = figures(tmp_path / "out")
    assert [row["image"] for row in rows] == ["Adirondack", "Vintage"]
    assert all(float(row["EPE"]) < 0.3 and float(row["holes"]) == 0 for row in rows)


def test_unfilled_maps_have_holes(tmp_path):
    layouts.middlebury(tmp_path / "data")
    options = ("model.disparities=16", "model.fill=False")
    found = measured("sgbm_middlebury_without-margin", tmp_path / "data", tmp_path / "out", *options)
    rows = figures(tmp_path / "out")
    assert all(float(row["holes"]) > 0.05 * float(row["pixels"]) for row in rows)
    assert found["disparity/EPE"] < 0.3


def test_nothing_matched_is_no_infinite_error(tmp_path):
    """An image without texture: filled maps are 0 and errors are finite, those of guessing infinity."""
    layouts.middlebury(tmp_path / "data")
    for scene in ("Adirondack", "Vintage"):
        for name in ("im0.png", "im1.png"):
            cv2.imwrite(str(tmp_path / "data" / scene / name), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    found = measured("sgbm_middlebury", tmp_path / "data", tmp_path / "out", "model.disparities=16")
    assert math.isfinite(found["disparity/EPE"])
    model = SemiGlobalMatching(disparities=16)
    flat = {side: torch.full((2, 3, 20, 40), 90.0) for side in ("left", "right")}
    assert all(torch.isfinite(sample.pred_disparity).all() for sample in model(flat, mode="predict"))


TWO_SETS = """
_base_ = ["dense3d::sgbm/sgbm_middlebury.py"]
model = dict(disparities=16)
_pipeline = [dict(type="LoadStereo"), dict(type="PackStereoInputs")]
_sets = [dict(type="Middlebury", data_root=root, only=only, test_mode=True, pipeline=_pipeline)
         for root, only in (({root!r}, None), ({root!r}, ["Vintage"]))]
test_dataloader = dict(_delete_=True, batch_size=1, sampler=dict(type="DefaultSampler", shuffle=False),
    num_workers=0, dataset=dict(type="ConcatDataset", datasets=_sets))
test_evaluator = dict(_delete_=True, type="MultiDatasetsEvaluator", dataset_prefixes=["all", "a/b"],
    metrics=2 * [dict(type="DisparityMetric", protocol="middlebury")])
"""


def two_sets(folder, launcher: str = "none") -> None:
    apis.test(folder / "config.py", None, folder / "out", work_dir=folder / "run", launcher=launcher)


def _process(rank: int, folder) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    two_sets(folder, "pytorch")
    dist.destroy_process_group()


def test_two_data_sets_in_two_processes(tmp_path):
    """Each metric writes a file of its own, and processes change nothing, though no parameter is theirs."""
    layouts.middlebury(tmp_path / "data")
    config = TWO_SETS.format(root=str(tmp_path / "data"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.py").write_text(config)
    two_sets(tmp_path / "one")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_process, args=(rank, tmp_path / "two")) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    figures_of = [(tmp_path / name / "out/metrics.json").read_text() for name in ("one", "two")]
    assert figures_of[0] == figures_of[1] and "a/b/disparity/EPE" in figures_of[0]
    for label, number in (("all", 2), ("a-b", 1)):
        name = f"out/predictions.{label}.disparity.csv"
        rows = [sorted((tmp_path / run / name).read_text().splitlines()) for run in ("one", "two")]
        assert rows[0] == rows[1] and len(rows[0]) == 1 + number


def test_infer_writes_disparity_and_depth(tmp_path, capsys):
    layouts.middlebury(tmp_path)
    scene, out = tmp_path / "Vintage", tmp_path / "out"
    words = ["infer", "sgbm_middlebury", "none", str(scene / "im0.png"), str(scene / "im1.png")]
    more = ["--calib", str(scene / "calib.txt"), "--out", str(out), "--device", "cpu"]
    assert main([*words, *more, "--cfg-options", "model.disparities=16"]) == 0, capsys.readouterr().err
    assert "1 pairs" in capsys.readouterr().out
    disparity = read_pfm(out / "disparity/im0.pfm")
    assert np.isfinite(disparity).all() and np.median(disparity) == pytest.approx(SHIFT, abs=0.1)
    depth = cv2.imread(str(out / "depth/im0.png"), cv2.IMREAD_UNCHANGED) / 256
    assert np.median(depth) == pytest.approx(100 * 0.5 / SHIFT, rel=0.02)


def test_from_python(tmp_path):
    layouts.middlebury(tmp_path)
    predictor = dense3d.load("sgbm_middlebury", None, options={"model.disparities": 16})
    scene = tmp_path / "Adirondack"
    result = predictor(scene / "im0.png", scene / "im1.png", scene / "calib.txt")
    assert np.median(result.disparity) == pytest.approx(SHIFT, abs=0.1) and "depth" in result


def test_networks_want_their_checkpoint(tmp_path, capsys):
    picture = str(tmp_path / "a.png")
    cv2.imwrite(picture, np.zeros((40, 40, 3), np.uint8))
    for config in ("ccnext_r18_synthetic-stereo", "croco-stereo_vitl-base_1xb6-32e_stereo-mix"):
        words = ["infer", config, "none", picture, picture, "--out", str(tmp_path / "out")]
        assert main(words) == 2
        assert "has weights: give a checkpoint" in capsys.readouterr().err
    words = ["test", "ccnext_r18_synthetic-stereo", "none", "--work-dir", str(tmp_path)]
    assert main([*words, "--cfg-options", "synthetic_data=None"]) == 2
    assert "CCNeXt has weights: give a checkpoint" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="has weights: give a checkpoint"):
        dense3d.load("detr_r18_synthetic-coco", None)


# What `dense3d benchmark stereo` finds with these settings, and, without margin, others by OpenCV's alone.
REAL = {"sgbm_kitti-2015": ("kitti2015", "D1"), "sgbm_middlebury": ("middlebury2014/trainingQ", "bad-2")}


@pytest.mark.parametrize("name", REAL)
def test_the_margin_helps_on_the_real_pairs(name, sample_data, tmp_path):
    folder, metric = REAL[name]
    found = [
        measured(config, sample_data / "stereo" / folder, tmp_path / config, "model.disparities=80")
        for config in (name, f"{name}_without-margin")
    ]
    assert found[0][f"disparity/{metric}"] < found[1][f"disparity/{metric}"]
    for config in (name, f"{name}_without-margin"):
        assert all(row["holes"] == "0" for row in figures(tmp_path / config))

"""The mean of the ground truth as a prediction, against sums by hand."""

from __future__ import annotations

import json

import pytest
import torch

from dense3d.cli.dispatch import main
from dense3d.errors import ConfigError, DataError
from dense3d.stereo.mean_of_truth import MeanOfTruth
from dense3d.structures import RectifiedRig, StereoSample
from tests.datasets.stereo import layouts

RIG = RectifiedRig(focal=100.0, baseline=0.2, cx=1, cy=0, width=3, height=2)
IMAGES = {"left": torch.zeros(1, 3, 2, 3)}


def sample(rig: RectifiedRig | None = RIG, **fields) -> StereoSample:
    made = StereoSample(metainfo=dict(img_shape=(2, 3), rig=rig))
    made.set_data({name: torch.tensor([values]) for name, values in fields.items()})
    return made


TRUTH = [[1.0, 2.0, float("inf")], [4.0, 0.1, float("inf")]]  # 20, 10, 5 and 200 metres


def test_means_of_disparity_and_of_depth():
    [found] = MeanOfTruth()(IMAGES, [sample(gt_disparity=TRUTH)])
    assert found.pred_disparity.unique().item() == pytest.approx(7.1 / 4)
    [found] = MeanOfTruth("depth", max_depth=80.0)(IMAGES, [sample(gt_disparity=TRUTH)])
    assert 1 / found.pred_inverse_depth.unique().item() == pytest.approx(35 / 3)
    assert found.pred_inverse_depth.shape == (1, 2, 3)
    [found] = MeanOfTruth("depth")(IMAGES, [sample(gt_depth=[[3.0, 0.0, 5.0], [0.0, 0.0, 0.0]])])
    assert 1 / found.pred_inverse_depth.unique().item() == pytest.approx(4.0)


def test_what_is_asked_for_has_to_be_there():
    for model, given in ((MeanOfTruth(), {}), (MeanOfTruth("depth"), {"rig": None, "gt_disparity": TRUTH})):
        with pytest.raises(DataError, match="a sample has n"):
            model(IMAGES, [sample(**given)])
    for arguments in (dict(of="flow"), dict(max_depth=0)):
        with pytest.raises(ConfigError):
            MeanOfTruth(**arguments)
    with pytest.raises(ConfigError, match="no parameters to train"):
        MeanOfTruth()(IMAGES, [sample()], mode="loss")


def test_the_command_on_a_wall_of_one_distance(tmp_path):
    """Whose mean is the truth."""
    layouts.middlebury(tmp_path)
    config = tmp_path / "config.py"
    base = '_base_ = ["dense3d::sgbm/sgbm_middlebury.py"]\n'
    config.write_text(base + 'model = dict(_delete_=True, type="MeanOfTruth")\n')
    words = ["test", str(config), "none", "--out", str(tmp_path / "out"), "--work-dir", str(tmp_path)]
    options = [f"data_root={tmp_path}", "test_dataloader.num_workers=0"]
    options += ["test_dataloader.persistent_workers=False"]
    assert main([*words, "--cfg-options", *options]) == 0
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    assert found["disparity/EPE"] == pytest.approx(0, abs=1e-5)

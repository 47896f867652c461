"""The same test with several seeds: means and spreads of what random sampling of points moves."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from dense3d.apis import test as run_test
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.errors import ConfigError
from dense3d.registry import MODELS


@MODELS.register_module(force=True)
class HullsOfInstances(BaseModel):
    """Predicts the hull of the sampled points of each thing: as good as the sampling is dense."""

    def forward(self, inputs, data_samples=None, mode="predict"):
        for points, sample in zip(inputs["points"], data_samples):
            boxes = sample.gt_boxes.clone()
            for row in range(len(boxes)):
                own = points[sample.gt_instances == row]
                if len(own) > 1:
                    low, high = own.amin(0), own.amax(0)
                    boxes[row, :6] = torch.cat([(low + high) / 2, high - low])
                    boxes[row, 6] = 0
            sample.pred_boxes, sample.pred_box_labels = boxes, sample.gt_box_labels
            sample.pred_box_scores = torch.linspace(1, 0.1, len(boxes))
        return data_samples


def _config(tmp_path, count):
    root = str(tmp_path / "rooms")
    ensure_dataset(root, layouts=("rooms",), train=0, val=3, points=2000)
    steps = [dict(type="LoadPoints"), dict(type="SamplePoints", count=count), dict(type="PackPointInputs")]
    rooms = dict(type="SyntheticRooms", data_root=root, split="val", task="detection", test_mode=True)
    return Config(
        dict(
            default_scope="dense3d",
            model=dict(type="HullsOfInstances", data_preprocessor=dict(type="PointDataPreprocessor")),
            test_dataloader=dict(
                batch_size=2,
                num_workers=0,
                sampler=dict(type="DefaultSampler", shuffle=False),
                dataset=dict(**rooms, pipeline=steps),
            ),
            test_evaluator=dict(type="Boxes3DMetric"),
            test_cfg=dict(),
            work_dir=str(tmp_path / "work"),
        )
    )


def test_repetitions_give_mean_and_spread(tmp_path, capsys):
    config = _config(tmp_path, 300)
    out = tmp_path / "out"
    figures = run_test(config, None, repeat=3, out=out)
    singles = []
    for seed in range(3):
        config.randomness = dict(seed=seed)
        singles.append(run_test(config, None)["boxes3d/AP50"])
    assert len(set(singles)) > 1  # the sampling matters
    assert figures["boxes3d/AP50"] == pytest.approx(np.mean(singles))
    assert figures["boxes3d/AP50/deviation"] == pytest.approx(np.std(singles, ddof=1))
    printed = capsys.readouterr().out
    assert "3 samplings " in printed and f"{min(singles):.4f}  {max(singles):>8.4f}" in printed
    assert json.loads((out / "metrics.json").read_text())["boxes3d/AP50"] == figures["boxes3d/AP50"]
    assert (out / "predictions.boxes3d.npz").is_file() and (out / "predictions.boxes3d.truth.npz").is_file()


def test_all_points_leave_no_spread(tmp_path):
    figures = run_test(_config(tmp_path, 2000), None, repeat=2)
    assert figures["boxes3d/AP25/deviation"] == 0


def test_no_repetition_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"repeat=0"):
        run_test(_config(tmp_path, 2000), None, repeat=0)

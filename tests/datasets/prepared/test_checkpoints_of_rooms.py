"""A checkpoint of scans that are turned to their walls is not tested on scans that are not."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from dense3d.apis import test as run_test
from dense3d.datasets.prepared import prepare
from dense3d.errors import CheckpointError
from dense3d.registry import MODELS
from tests.datasets.prepared.raw_trees import write_scannet


@MODELS.register_module(force=True)
class TruthTeller(BaseModel):
    """Gives the ground truth back, and has a weight, so that there is a checkpoint."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples=None, mode="predict"):
        for sample in data_samples:
            sample.pred_boxes, sample.pred_box_labels = sample.gt_boxes, sample.gt_box_labels
            sample.pred_box_scores = torch.ones(len(sample.gt_boxes))
        return data_samples


@pytest.mark.parametrize("align", [True, False])
def test_alignment_is_compared(align, tmp_path):
    prepare("scannet", write_scannet(tmp_path / "raw"), tmp_path / "rooms", align=align, workers=1)
    steps = [dict(type="LoadPoints"), dict(type="PackPointInputs")]
    rooms = dict(type="PreparedRooms", data_root=str(tmp_path / "rooms"), split="val", test_mode=True)
    config = dict(
        default_scope="dense3d",
        model=dict(type="TruthTeller", data_preprocessor=dict(type="PointDataPreprocessor")),
        test_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dict(**rooms, pipeline=steps),
        ),
        test_evaluator=dict(type="Boxes3DMetric", protocol="scannet"),
        test_cfg=dict(),
        work_dir=str(tmp_path / "work"),
    )
    meta = {"dataset_meta": {"axis_aligned": True}}
    torch.save({"state_dict": {"weight": torch.ones(1)}, "meta": meta}, tmp_path / "model.pth")
    if align:
        assert run_test(Config(config), tmp_path / "model.pth")["boxes3d/AP50"] == 1
        return
    with pytest.raises(CheckpointError, match=r"trained on scans that are axis-aligned.*not axis-aligned"):
        run_test(Config(config), tmp_path / "model.pth")

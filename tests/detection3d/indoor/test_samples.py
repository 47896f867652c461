"""Real scans: read, learned by heart, predicted and drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.detection3d.votenet import VoteNet
from dense3d.ops import box_iou_3d
from dense3d.registry import DATASETS
from dense3d.results.cloud import CloudResult
from dense3d.results.cloud_boxes import CloudBoxes
from dense3d.structures import PointCloud

PIPELINE = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=2048),
    dict(type="PackPointInputs", features=("height",)),
]
BACKBONE = dict(
    type="PointNet2",
    in_channels=1,
    num_points=(256, 128),
    radii=(0.4, 0.8),
    num_neighbours=(16, 16),
    channels=((32, 64), (64, 128)),
    propagation=((128,),),
)


@pytest.mark.parametrize(
    ("data", "settings", "bins", "least"),
    [
        ("scannet", dict(type="ScanNet", task="detection"), 1, 0.0),  # 27 boxes take longer than this
        ("sunrgbd", dict(type="SunRgbdPoints"), 12, 0.5),
    ],
)
def test_a_real_scene_is_learned_by_heart(data, settings, bins, least, sample_data, tmp_path):
    torch.manual_seed(0)
    np.random.seed(0)
    with DefaultScope.overwrite_default_scope("dense3d"):
        scene = DATASETS.build(dict(settings, data_root=str(sample_data / data), pipeline=PIPELINE))
    classes = scene.metainfo["classes"]
    truth = scene[0]["data_samples"]
    sizes = np.full((len(classes), 3), 0.5)
    for label, box in zip(truth.gt_box_labels.tolist(), truth.gt_boxes.numpy()):
        sizes[label] = box[3:6]
    model = VoteNet(
        BACKBONE,
        len(classes),
        sizes.tolist(),
        num_heading_bins=bins,
        votes="boxes",
        proposals=dict(num_proposals=64, sampling="seed_fps", channels=(64, 64)),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for step in range(80):
        batch = model.data_preprocessor(pseudo_collate([scene[0] for _ in range(2)]))
        loss = sum(v for name, v in model(**batch, mode="loss").items() if "loss" in name)
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 80)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    with torch.no_grad():
        (found,) = model.eval()(**model.data_preprocessor(pseudo_collate([scene[0]])), mode="predict")
    boxes = CloudBoxes.best(
        *(part.numpy() for part in (found.pred_boxes, found.pred_box_labels, found.pred_box_scores)),
        0.1 if least else 0.0,  # what has not been learned has low scores, too
    )
    overlaps = box_iou_3d(truth.gt_boxes, torch.from_numpy(boxes.boxes))
    same = truth.gt_box_labels[:, None] == torch.from_numpy(boxes.labels)
    share = ((overlaps > 0.25) & same).any(dim=1).float().mean()
    assert share >= least
    cloud = PointCloud(scene[0]["inputs"]["points"].numpy(), name=data)
    result = CloudResult(data, cloud, tuple(classes), boxes=boxes)
    assert result.save(tmp_path / "scene.png").stat().st_size > 0
    assert len(result.coloured()) > len(cloud)

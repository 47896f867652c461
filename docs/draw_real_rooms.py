"""Make docs/images/real-rooms.jpg: a scan of ScanNet and a frame of SUN RGB-D, learned by heart by 3DETR.

    python docs/draw_real_rooms.py FOLDER

FOLDER holds ``scannet/`` (points and ``scannet_infos.json``) and ``sunrgbd/``, as data sets read them. From
left to right: the points, what the network finds in them after training on that scene alone, the annotation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.detection3d.threedetr import ThreeDETR
from dense3d.evaluation.boxes3d import SceneBoxes, evaluate_classes
from dense3d.registry import DATASETS
from dense3d.results.cloud import CloudResult
from dense3d.results.cloud_boxes import CloudBoxes
from dense3d.structures import PointCloud

TARGET = Path(__file__).resolve().parent / "images" / "real-rooms.jpg"
SCENES = {
    "scannet": (dict(type="ScanNet", task="detection"), 1),
    "sunrgbd": (dict(type="SunRgbdPoints"), 12),  # bins of headings
}
PIPELINE = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=4096),
    dict(type="PackPointInputs", features=("height",)),
]
BACKBONE = dict(
    type="PointNet2",
    in_channels=1,
    num_points=(512, 256),
    radii=(0.25, 0.5),
    num_neighbours=(16, 16),
    channels=((32, 64), (64, 128)),
    propagation=((128,),),
)
RATE = 2e-3
LIKELY = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    rows = [learned(name, arguments.folder / name, arguments.steps) for name in SCENES]
    picture = np.concatenate(rows)
    cv2.imwrite(str(arguments.out), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])
    print(f"{picture.shape[1]} x {picture.shape[0]} pixels: {arguments.out}")


def learned(name: str, root: Path, steps: int) -> np.ndarray:
    """Train on a scene alone, print how precise its own boxes are, draw them."""
    torch.manual_seed(0)
    np.random.seed(0)
    settings, bins = SCENES[name]
    with DefaultScope.overwrite_default_scope("dense3d"):
        data = DATASETS.build(dict(settings, data_root=str(root), pipeline=PIPELINE))
    classes = tuple(data.metainfo["classes"])
    truth = data[0]["data_samples"]
    model = ThreeDETR(
        BACKBONE,
        len(classes),
        num_heading_bins=bins,
        num_queries=128,
        query_content="points",
        encoder=dict(num_layers=1, dropout=0.0),
        decoder=dict(dim=128, num_layers=3, feedforward_dim=128, dropout=0.0),
        head_dropout=0.0,
        criterion=dict(cost_centre=5.0),
    )
    fit(model, data, steps)
    item = data[0]
    with torch.no_grad():
        (found,) = model.eval()(**model.data_preprocessor(pseudo_collate([item])), mode="predict")
    report(name, classes, truth, found)
    parts = (found.pred_boxes, found.pred_box_labels, found.pred_box_scores)
    steps_of_all = [PIPELINE[0], dict(type="PackPointInputs", features=("colors",))]
    with DefaultScope.overwrite_default_scope("dense3d"):
        whole = DATASETS.build(dict(settings, data_root=str(root), pipeline=steps_of_all))[0]["inputs"]
    colors = (whole["features"].numpy() + 1) / 2  # they are packed as -1..1
    cloud = PointCloud(whole["points"].numpy(), colors=colors, name=name)
    likely = CloudBoxes.best(*(part.numpy() for part in parts), LIKELY)
    labels = truth.gt_box_labels.numpy()
    annotated = CloudBoxes(truth.gt_boxes.numpy(), labels, np.ones(len(labels)))
    left, right = (CloudResult(name, cloud, classes, boxes=boxes).plot() for boxes in (likely, annotated))
    return np.concatenate([left, right[:, right.shape[1] // 2 :]], axis=1)


def fit(model: ThreeDETR, data, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in range(steps):
        batch = model.data_preprocessor(pseudo_collate([data[0] for _ in range(2)]))
        losses = model(**batch, mode="loss")
        loss = sum(value for name, value in losses.items() if "loss" in name)
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step in (0, steps - 1):
            print(f"step {step + 1}: loss {loss.item():.3f}")


def report(name: str, classes: tuple[str, ...], truth, found) -> None:
    boxes = {"boxes": truth.gt_boxes.numpy(), "labels": truth.gt_box_labels.numpy()}
    parts = {"boxes": found.pred_boxes, "scores": found.pred_box_scores, "labels": found.pred_box_labels}
    figures = evaluate_classes(
        SceneBoxes.of({name: boxes}, classes),
        SceneBoxes.of({name: {key: part.numpy() for key, part in parts.items()}}, classes),
        (0.25, 0.5),
    )
    there = figures.ground_truths > 0
    loose, strict = figures.average_precision[:, there].mean(axis=1)
    print(f"{name}: {len(truth.gt_boxes)} boxes, {there.sum()} classes, AP25 {loose:.3f}, AP50 {strict:.3f}")


if __name__ == "__main__":
    main()

"""Make docs/images/msm-features.jpg: rooms as they are, what is hidden of them, features as colours.

    python docs/draw_scene_features.py CONFIG CHECKPOINT FOLDER_OF_ROOMS

CONFIG and CHECKPOINT are of masked scene modelling on synthetic rooms. A row a room: as it is coloured, what
the student sees of it, principal components of the features of random weights, and of the student's. Walls
that the viewer would look at from outside are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed

import dense3d
from dense3d.apis.cloud_pipelines import pipeline_input
from dense3d.datasets.synthetic.rooms import CLASSES
from dense3d.structures import PointCloud, read_cloud
from dense3d.visualization.clouds import draw_cloud
from dense3d.visualization.panels import captioned

TARGET = Path(__file__).resolve().parent / "images" / "msm-features.jpg"
AZIMUTH, ELEVATION, SIZE = 35.0, 50.0, 340
ON_WALLS = [CLASSES.index(name) for name in ("wall", "door", "window", "picture")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("rooms", type=Path)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    predictor = dense3d.load(arguments.config, arguments.checkpoint)
    model = predictor.model
    set_random_seed(0)
    random = type(model)(dict(predictor.cfg.model.backbone), predictor.cfg.model.voxel_size).eval()
    rows = []
    for folder in sorted(arguments.rooms.iterdir())[: arguments.count]:
        cloud = read_cloud(folder)
        with DefaultScope.overwrite_default_scope(predictor.cfg.default_scope):
            batch = pseudo_collate([predictor.prepare(pipeline_input(cloud))])
        (ours,), (theirs,) = model.test_step(batch), random.test_step(batch)
        labels = np.load(folder / "segment.npy")
        rows.append(row(cloud, labels, ours, theirs))
    cv2.imwrite(str(arguments.out), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(arguments.out)


def row(cloud: PointCloud, labels: np.ndarray, ours: object, theirs: object) -> np.ndarray:
    shown = ~outer(cloud, labels)
    seen = shown & ~ours.point_hidden.numpy()
    view = dict(radius=2, size=SIZE, azimuth=AZIMUTH, elevation=ELEVATION, bounds=cloud.bounds)
    panels = {"room": (shown, cloud.colors), "what the student sees": (seen, cloud.colors)}
    panels["features, random weights"] = (shown, theirs.pred_point_features.colours())
    panels["features, pre-trained"] = (shown, ours.pred_point_features.colours())
    return captioned(
        {
            name: draw_cloud(cloud.points[kept], 255 * colours[kept], **view)
            for name, (kept, colours) in panels.items()
        }
    )


def outer(cloud: PointCloud, labels: np.ndarray) -> np.ndarray:
    """Walls, and what hangs on them, that have their backs to the viewer."""
    turn, lift = np.radians(AZIMUTH), np.radians(ELEVATION)
    toward = np.array([np.cos(turn) * np.cos(lift), np.sin(turn) * np.cos(lift), np.sin(lift)])
    flat = np.abs(cloud.points[:, :2]) / np.abs(cloud.points[:, :2]).max(axis=0)
    front = ((cloud.points[:, :2] * toward[:2] > 0) & (flat > 0.93)).any(axis=1)
    return np.isin(labels, ON_WALLS) & front


if __name__ == "__main__":
    main()

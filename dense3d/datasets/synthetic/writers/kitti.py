"""KITTI object: ``training/{image_2,label_2,calib}/NNNNNN.*`` and ``ImageSets/{train,val,trainval}.txt``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from dense3d.datasets.kitti.calibration_file import write_calibration
from dense3d.datasets.kitti.frames import frame_id, read_image_set, write_image_set
from dense3d.datasets.kitti.objects import KittiObjects, write_objects
from dense3d.datasets.synthetic import shapes
from dense3d.datasets.synthetic.renderer import Frame, Renderer
from dense3d.datasets.synthetic.sample import Sample
from dense3d.datasets.synthetic.scene import Actor, Scene
from dense3d.datasets.synthetic.writers.base import Writer, write_image
from dense3d.structures.camera import PinholeCamera, rotate
from dense3d.structures.kitti_calibration import KittiCalibration
from dense3d.structures.occlusion import occlusion_level

FIRST_FRAME = {"train": 0, "val": 100_000}
BASELINE, LIDAR_HEIGHT = 0.54, 0.08  # metres
# What is lower than so many pixels, or shows less of itself, is a region without labels.
MIN_HEIGHT, MIN_VISIBLE = 8.0, 0.1
ABSENT = (-1, -1, -10)


class KittiWriter(Writer):
    """Monocular 3D detection: 2D boxes are those of the whole object inside the image, as KITTI draws them.

    Truncation is the part of the object's 2D box outside the image; the occlusion level comes from the part
    of its pixels that other objects hide.
    """

    composition: ClassVar[str] = "street"

    def write(self, sample: Sample) -> dict[str, Any]:
        """Write image, labels and calibration; the record holds the frame's number."""
        frame, name = sample.frames[0], frame_id(FIRST_FRAME[sample.split] + sample.index)
        folder = self.root / "training"
        write_image(folder / "image_2" / f"{name}.png", frame.rgb)
        write_objects(folder / "label_2" / f"{name}.txt", label_objects(sample.scene, frame))
        write_calibration(folder / "calib" / f"{name}.txt", calibration_of(frame.camera))
        return {"frame": name}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Write the split; the second one also writes both together."""
        folder = self.root / "ImageSets"
        frames = [record["frame"] for record in records]
        if frames:
            write_image_set(folder / f"{split}.txt", frames)
        if split == "val":
            train = folder / "train.txt"
            write_image_set(
                folder / "trainval.txt", [*(read_image_set(train) if train.exists() else []), *frames]
            )


def calibration_of(camera: PinholeCamera) -> KittiCalibration:
    """The rig of a level camera; its right-hand twin is not rendered."""
    matrix = camera.intrinsics
    return KittiCalibration.pinhole(matrix[0, 0], (matrix[0, 2], matrix[1, 2]), BASELINE, LIDAR_HEIGHT)


def label_objects(scene: Scene, frame: Frame) -> KittiObjects:
    """Labels of a scene's actors as a camera sees them, the nearest first; regions without labels last."""
    seen = [(actor, _outline(scene, actor, frame.camera)) for actor in scene.actors]
    cared, rows, regions = [], [], []
    for actor, (left, top, right, bottom) in sorted(seen, key=lambda pair: pair[0].center[0]):
        width, height = frame.camera.width, frame.camera.height
        inside = max(left, 0), max(top, 0), min(right, width - 1), min(bottom, height - 1)
        if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
            continue
        visible = _visible_fraction(scene, actor, frame, inside)
        if visible < MIN_VISIBLE or inside[3] - inside[1] < MIN_HEIGHT:
            regions.append([*ABSENT, *inside, -1, -1, -1, -1000, -1000, -1000, -10])
            continue
        part = (inside[2] - inside[0]) * (inside[3] - inside[1]) / ((right - left) * (bottom - top))
        cared.append(actor.name)
        rows.append([1 - part, occlusion_level(visible).item(), *_pose_row(actor, frame.camera, inside)])
    names = (*cared, *("DontCare" for _ in regions))
    values = np.array([*rows, *regions], dtype=np.float64).reshape(len(names), 14)
    return KittiObjects(names, np.round(values, 2) + 0.0)


def _pose_row(actor: Actor, camera: PinholeCamera, box: tuple[float, ...]) -> list[float]:
    """alpha, 2D box, dimensions, location and rotation_y; the camera looks along the world's x."""
    length, width, height = actor.size
    bottom = actor.center - camera.position - [0, 0, height / 2]
    x, y, z = -bottom[1], -bottom[2], bottom[0]
    rotation_y = _wrapped(-actor.yaw - np.pi / 2)
    alpha = _wrapped(rotation_y - np.arctan2(x, z))
    return [alpha, *box, height, width, length, x, y, z, rotation_y]


def _wrapped(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _outline(scene: Scene, actor: Actor, camera: PinholeCamera) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the whole actor, hidden and outside parts included."""
    corners = []
    for member in actor.members:
        item = scene.by_id[member]
        vertices, _ = shapes.mesh(item.shape)
        corners.append(rotate(vertices.astype(np.float64), item.rotation) + item.center)
    pixels, _ = camera.project(np.concatenate(corners))
    return (*pixels.min(axis=0).tolist(), *pixels.max(axis=0).tolist())


def _visible_fraction(
    scene: Scene, actor: Actor, frame: Frame, box: tuple[float, float, float, float]
) -> float:
    """Pixels that show the actor over those that would if it were alone, within the image."""
    left, top, right, bottom = (int(v) for v in (*np.floor(box[:2]), *np.ceil(box[2:])))
    columns, rows = np.meshgrid(np.arange(left, right + 1), np.arange(top, bottom + 1))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)
    alone = replace(scene, objects=tuple(scene.by_id[member] for member in actor.members), actors=())
    whole = np.count_nonzero(Renderer(alone).silhouette(frame.camera, pixels))
    shown = np.count_nonzero(np.isin(frame.instance, actor.members))
    return shown / whole if whole else 0.0

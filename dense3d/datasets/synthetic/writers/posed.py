"""A scene seen from several places: ``transforms.json``, ``images/*.png`` and ``depth/*.png``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dense3d.datasets.synthetic.composition import _rotation_z
from dense3d.datasets.synthetic.renderer import Frame, Renderer
from dense3d.datasets.synthetic.sample import Sample
from dense3d.datasets.synthetic.writers.base import Writer, noisy, write_image, write_json
from dense3d.structures.camera import PinholeCamera

if TYPE_CHECKING:
    from dense3d.datasets.synthetic.rooms.viewing import RoomView

NOISE = 0.004  # deviation of the sensor's noise in sequences alone, relative to full scale
POSED_EVERY = 10  # one scene of so many is also a sequence
VIEWS = 8
SIDEWAYS, UPWARDS, FORWARDS = 1.6, 0.35, 0.9  # metres from the first camera, at most
CLEARANCE = 0.6  # metres to what is nearest in sight
ATTEMPTS = 20
MILLIMETRES = 1000.0
FARTHEST = 65.5  # metres: what 16 bits of millimetres hold
# OpenGL's camera axes, which the files use: x right, y up, z backwards.
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


class PosedWriter(Writer):
    """Sequences alone, ``SPLIT_NNNNNN/transforms.json``: each sample is a room seen from 48 places in it."""

    composition: ClassVar[str] = "tour"

    def write(self, sample: Sample) -> dict[str, Any]:
        """Write one sequence; the record holds nothing."""
        rng = np.random.default_rng([sample.index, zlib.crc32(sample.split.encode()), 2])
        write_frames(self.root / f"{sample.split}_{sample.index:06d}", sample.frames, NOISE, rng, hold_out=8)
        return {}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Nothing: sequences have no file in common."""


def write_sequence(
    folder: Path, renderer: Renderer, first: PinholeCamera, noise: float, rng: np.random.Generator
) -> None:
    """Render and write a sequence in the layout of nerfstudio and instant-ngp.

    Depth is 16-bit, in millimetres along the optical axis, 0 where nothing or what is beyond 65.5 m is seen.
    Every fourth view is for validation.

    Args:
        folder: of the sequence.
        renderer: of the scene.
        first: camera of the first view; the others look at what it has in its middle.
        noise: deviation of the sensor's noise, relative to full scale.
        rng: source of all randomness.
    """
    views = [renderer.render(camera) for camera in _cameras(renderer, first, rng)]
    write_frames(folder, views, noise, rng, hold_out=4)


def write_frames(
    folder: Path, views: Sequence[Frame | RoomView], noise: float, rng: np.random.Generator, hold_out: int
) -> None:
    """Write rendered views of one scene as above; every ``hold_out``-th one is for validation."""
    frames = []
    for number, frame in enumerate(views):
        name = f"{number:04d}.png"
        write_image(folder / "images" / name, noisy(frame.rgb, noise, rng))
        near = frame.depth <= FARTHEST
        millimetres = np.rint(np.where(near, frame.depth, 0) * MILLIMETRES).astype(np.uint16)
        write_image(folder / "depth" / name, millimetres)
        frames.append(
            {
                "file_path": f"images/{name}",
                "depth_file_path": f"depth/{name}",
                "transform_matrix": (frame.camera.camera_to_world @ OPENGL_FROM_OPENCV).tolist(),
            }
        )
    content = {**_intrinsics(views[0].camera), **_splits(frames, hold_out), "frames": frames}
    write_json(folder / "transforms.json", content)


def _intrinsics(camera: PinholeCamera) -> dict[str, Any]:
    """In these files the corner of the first pixel is the origin."""
    matrix = camera.intrinsics
    return {
        "camera_model": "PINHOLE",
        "w": camera.width,
        "h": camera.height,
        "fl_x": matrix[0, 0],
        "fl_y": matrix[1, 1],
        "cx": matrix[0, 2] + 0.5,
        "cy": matrix[1, 2] + 0.5,
        "depth_unit_scale_factor": 1 / MILLIMETRES,
    }


def _splits(frames: list[dict[str, Any]], hold_out: int) -> dict[str, list[str]]:
    names = [frame["file_path"] for frame in frames]
    held_out = names[hold_out - 1 :: hold_out]
    return {
        "train_filenames": [name for name in names if name not in held_out],
        "val_filenames": held_out,
        "test_filenames": held_out,
    }


def _cameras(renderer: Renderer, first: PinholeCamera, rng: np.random.Generator) -> list[PinholeCamera]:
    """The first camera, then others near it which see what it has in its middle, with nothing before them."""
    depth = renderer.render_depth(first)
    middle = depth[first.height // 3 : -first.height // 3, first.width // 3 : -first.width // 3]
    seen = middle[np.isfinite(middle)]
    distance = float(np.clip(np.median(seen) if len(seen) else 10.0, 3.0, 15.0))
    cameras = [first]
    for _ in range(VIEWS - 1):
        for _ in range(ATTEMPTS):
            camera = _moved(first, distance, rng)
            if renderer.render_depth(camera).min() > CLEARANCE:
                cameras.append(camera)
                break
    return cameras


def _moved(first: PinholeCamera, distance: float, rng: np.random.Generator) -> PinholeCamera:
    """Moved at random, and turned so that the middle at ``distance`` stays there, roughly."""
    right, down, forward = first.rotation.T
    sideways, up, ahead = rng.uniform(-1, 1, size=3) * (SIDEWAYS, UPWARDS, FORWARDS)
    turn = np.arctan2(sideways, distance - ahead) + rng.uniform(-0.08, 0.08)
    moved = np.eye(4)
    moved[:3, :3] = _rotation_z(turn) @ first.rotation  # to the left, about the world's vertical
    moved[:3, 3] = first.position + sideways * right - up * down + ahead * forward
    return replace(first, camera_to_world=moved)

"""Rectified pairs: ``{train,val}/{left,right,disparity,nonoccluded,textureless}/NNNNNN.*`` and ``rig.json``.

Every tenth scene is also a posed sequence, ``posed/SPLIT_NNNNNN/transforms.json``, of several views.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import Any, ClassVar

import cv2
import numpy as np

from dense3d.datasets.stereo.pfm import write_pfm
from dense3d.datasets.synthetic.renderer import Frame, Renderer
from dense3d.datasets.synthetic.sample import Sample
from dense3d.datasets.synthetic.stereo_scenes import BASELINE, rig_of
from dense3d.datasets.synthetic.writers.base import Writer, noisy, write_image, write_json
from dense3d.datasets.synthetic.writers.posed import POSED_EVERY, write_sequence

NOISE = (0.003, 0.012)  # standard deviation of a sensor's noise, in multiples of full scale
# A surface point that is seen lies where its ray ends, up to so much of the ray's length.
SEEN_TOLERANCE = 2e-4
# Scharstein and Szeliski (IJCV 2002), section 3.3: the squared horizontal gradient is below 4 in the mean
# over 3 x 3 pixels.
TEXTURELESS_GRADIENT, TEXTURELESS_WINDOW = 4.0, 3


class StereoWriter(Writer):
    """Pairs with dense ground truth in the left image's frame, exact at the pixel centres.

    ``disparity/*.pfm`` holds pixels, infinite where there is only sky; ``nonoccluded/*.png`` 255 where the
    right camera sees the point, too; ``textureless/*.png`` 255 where the image before its noise is even.
    """

    composition: ClassVar[str] = "stereo"

    def write(self, sample: Sample) -> dict[str, Any]:
        """Write one pair, and the sequence of every tenth; the record holds the image size."""
        left, right = sample.frames
        folder, name = self.root / sample.split, f"{sample.index:06d}"
        rng = np.random.default_rng(
            [sample.scene.noise_seed, zlib.crc32(sample.split.encode()), sample.index, 1]
        )
        noise = float(rng.uniform(*NOISE))
        renderer = Renderer(sample.scene)
        write_image(folder / "left" / f"{name}.png", noisy(left.rgb, noise, rng))
        write_image(folder / "right" / f"{name}.png", noisy(right.rgb, noise, rng))
        write_pfm(folder / "disparity" / f"{name}.pfm", disparity_of(left))
        for kind, mask in (
            ("nonoccluded", seen_by_both(renderer, left, right)),
            ("textureless", textureless(left.rgb)),
        ):
            write_image(folder / kind / f"{name}.png", np.where(mask, 255, 0).astype(np.uint8))
        if sample.index % POSED_EVERY == 0:
            write_sequence(self.root / "posed" / f"{sample.split}_{name}", renderer, left.camera, noise, rng)
        return {"size": [left.camera.width, left.camera.height]}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Write the rig, which all pairs share."""
        if records:
            write_json(self.root / "rig.json", asdict(rig_of(tuple(records[0]["size"]))))


def disparity_of(left: Frame) -> np.ndarray:
    """(H, W) float32 pixels from the depth of the left frame; ``inf`` for the sky."""
    product = np.float32(left.camera.intrinsics[0, 0] * BASELINE)
    known = np.isfinite(left.depth)
    return np.where(known, product / np.where(known, left.depth, 1), np.float32(np.inf)).astype(np.float32)


def seen_by_both(renderer: Renderer, left: Frame, right: Frame) -> np.ndarray:
    """(H, W) bool: the surface point at a left pixel's centre is seen by the right camera, within its image.

    Each point is the end of a ray from the right camera; nothing else may lie on it.

    Args:
        renderer: of the scene.
        left, right: what the cameras see.
    """
    camera = left.camera
    known = np.isfinite(left.depth)
    points = camera.unproject(camera.pixel_grid()[known], left.depth[known])
    pixels, _ = right.camera.project(points)
    inside = (pixels[:, 0] >= -0.5) & (pixels[:, 0] <= right.camera.width - 0.5)
    seen = np.zeros(known.shape, dtype=bool)
    seen[known] = inside & renderer.reaches(right.camera.position, points, SEEN_TOLERANCE)
    return seen


def textureless(rgb: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the squared horizontal gradient is small in the mean over a window.

    Args:
        rgb: (H, W, 3) uint8 without noise; the strongest of the three channels counts.
    """
    values = rgb.astype(np.float32)
    gradient = np.zeros_like(values)
    gradient[:, 1:-1] = (values[:, 2:] - values[:, :-2]) / 2
    gradient[:, 0], gradient[:, -1] = values[:, 1] - values[:, 0], values[:, -1] - values[:, -2]
    window = (TEXTURELESS_WINDOW, TEXTURELESS_WINDOW)
    mean = cv2.blur((gradient**2).max(axis=-1), window, borderType=cv2.BORDER_REFLECT)
    return mean < TEXTURELESS_GRADIENT

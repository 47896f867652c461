"""Flip and affine crop of a frame for monocular 3D detection, and what they do to pixels and depths.

The image is mirrored and scaled evenly into a fixed size, centre to centre, so that rows are cropped or
padded. Calibration and positions in metres stay as they are; labels in the image move along, and the depth
is multiplied by the scale of the crop. This is the augmentation of MonoDLE, MonoDETR and MonoDINO-DETR, kept
to the pixel: a column u is mirrored to W - u, and the coordinates of labels are taken for those of PIL's
affine map, which begin half a pixel earlier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dense3d.structures.kitti_calibration import KittiCalibration


@dataclass(frozen=True)
class ImageWarp:
    """One drawn augmentation.

    Args:
        source: width and height of the frame's image.
        target: width and height of the result.
        flipped: mirror the image first.
        crop_scale: width of the cropped region over that of the image.
        shift: move of the region's centre over the image's size, (x, y).

    Example:
        >>> warp = ImageWarp((100, 50), (200, 80), flipped=True)
        >>> warp.move_points(np.array([[100.0, 25.0], [50.0, 0.0]])).tolist()
        [[0.0, 40.0], [100.0, -10.0]]
    """

    source: tuple[int, int]
    target: tuple[int, int]
    flipped: bool = False
    crop_scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3) from pixels of the mirrored image to those of the result."""
        scale = self.target[0] / (self.source[0] * self.crop_scale)
        center = np.array(self.source) * (0.5 + np.array(self.shift))
        offset = np.array(self.target) / 2 - scale * center
        return np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])

    def mirror_points(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the frame in the mirrored image, unchanged without a flip."""
        if not self.flipped:
            return points
        return np.stack([self.source[0] - points[..., 0], points[..., 1]], axis=-1)

    def move_points(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the frame in the result."""
        return self.mirror_points(points) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def mirror_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """(N, 4) left, top, right, bottom in the mirrored image."""
        if not self.flipped:
            return boxes
        width = self.source[0]
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    def move_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """(N, 4) boxes of the frame in the result, not clipped."""
        corners = self.mirror_boxes(boxes).reshape(-1, 2, 2)
        return (corners @ self.matrix[:, :2].T + self.matrix[:, 2]).reshape(-1, 4)

    def mirror_angles(self, angles: np.ndarray) -> np.ndarray:
        """Headings (alpha or rotation_y) in the mirrored image, radians in [-pi, pi)."""
        turned = np.pi - angles if self.flipped else angles
        return np.mod(turned + np.pi, 2 * np.pi) - np.pi

    def move_image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 of the frame as the result, bilinear, black outside."""
        picture = Image.fromarray(image)
        if self.flipped:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        scale, offset = self.matrix[0, 0], self.matrix[:, 2]
        inverse = (1 / scale, 0, -offset[0] / scale, 0, 1 / scale, -offset[1] / scale)
        moved = picture.transform(self.target, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
        return np.array(moved)

    def move_calibration(self, calibration: KittiCalibration) -> KittiCalibration:
        """The calibration by which points, mirrored at x = 0 if the image is, fall on the result's pixels.

        The detectors of this family keep the frame's own one; what needs true geometry takes this.
        """
        mirrored = calibration.flipped(self.source[0] + 1) if self.flipped else calibration
        return mirrored.warped(self.matrix)


def draw_warp(
    source: tuple[int, int],
    target: tuple[int, int],
    uniform: Callable[[], float],
    normal: Callable[[], float],
    flip_prob: float = 0.5,
    crop_prob: float = 0.5,
    scale: float = 0.05,
    shift: float = 0.05,
) -> ImageWarp:
    """Draw an augmentation: flip, then crop, then, if it crops, its scale and its shifts in x and y.

    Args:
        source, target: sizes as for :class:`ImageWarp`.
        uniform: draws from [0, 1).
        normal: draws from N(0, 1).
        flip_prob, crop_prob: how often.
        scale: standard deviation of the crop's scale, which is cut at one of them.
        shift: that of the crop's centre relative to the image, cut at two.
    """
    flipped = uniform() < flip_prob
    if uniform() >= crop_prob:
        return ImageWarp(source, target, flipped)
    crop_scale = float(np.clip(normal() * scale + 1, 1 - scale, 1 + scale))
    moves = [float(np.clip(normal() * shift, -2 * shift, 2 * shift)) for _ in range(2)]
    return ImageWarp(source, target, flipped, crop_scale, (moves[0], moves[1]))

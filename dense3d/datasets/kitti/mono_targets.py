"""What a monocular 3D detector of the MonoDETR family learns from a frame's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.kitti.objects import KittiObjects
from dense3d.datasets.kitti.warp import ImageWarp
from dense3d.structures.kitti_calibration import KittiCalibration

HEADING_BINS = 12
MIN_HEIGHT, MAX_TRUNCATION, MAX_OCCLUSION = 25, 0.5, 2
DEPTH_RANGE = (2.0, 65.0)  # metres


@dataclass(frozen=True, eq=False)
class MonoTargets:
    """Targets of the objects that are learned from.

    Attributes:
        rows: (K,) their lines in the label file.
        labels: (K,) index of the class.
        boxes: (K, 4) centre, width and height of the 2D box over the image's size.
        boxes_3d: (K, 6) projected centre of the 3D box, then its distances to the 2D box's left, right, top
            and bottom side, over the image's size.
        depth: (K,) of the 3D centre in metres, scaled with the crop.
        size_3d: (K, 3) height, width, length in metres.
        heading_bin, heading_residual: (K,) bin of the observation angle and the angle from the bin's centre.
    """

    rows: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    boxes_3d: np.ndarray
    depth: np.ndarray
    size_3d: np.ndarray
    heading_bin: np.ndarray
    heading_residual: np.ndarray


def encode_mono_targets(
    objects: KittiObjects, calibration: KittiCalibration, warp: ImageWarp, classes: Sequence[str]
) -> MonoTargets:
    """Targets of a frame whose image was moved by ``warp``.

    An object is used if its class is asked for, its 2D box is at least 25 pixels high (both border pixels
    counted), it is truncated by at most half and occluded at most largely, its depth lies within 2 to 65 m,
    and the projected centre of its 3D box lies inside the result and inside its own 2D box.

    Args:
        objects: labels.
        calibration: the frame's own.
        warp: what was done to the image.
        classes: names in the order of the class indices.
    """
    size = np.array(warp.target, dtype=np.float64)
    seen, labels, centers = seen_objects(objects, calibration, warp, classes)
    boxes = warp.move_boxes(objects.boxes2d)  # (N, 4)
    sides = np.concatenate([centers - boxes[:, :2], boxes[:, 2:] - centers], axis=1)[:, [0, 2, 1, 3]]
    rows = np.flatnonzero(seen & (sides >= 0).all(1))
    boxes, sides, chosen = boxes[rows], sides[rows], objects.select(rows)
    bins, residuals = encode_heading(_observation_angles(chosen, calibration, warp))
    return MonoTargets(
        rows=rows,
        labels=labels[rows],
        boxes=np.concatenate(
            [(boxes[:, :2] + boxes[:, 2:]) / 2 / size, (boxes[:, 2:] - boxes[:, :2]) / size], 1
        ),
        boxes_3d=np.concatenate([centers[rows] / size, sides / size[[0, 0, 1, 1]]], axis=1),
        depth=chosen.location[:, 2] * warp.crop_scale,
        size_3d=chosen.dimensions,
        heading_bin=bins,
        heading_residual=residuals,
    )


def seen_objects(
    objects: KittiObjects, calibration: KittiCalibration, warp: ImageWarp, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which objects of the classes can be learned from, whatever their 2D box encloses.

    Args:
        objects, calibration, warp, classes: as for :func:`encode_mono_targets`.

    Returns:
        (N,) mask, (N,) class indices, -1 for other classes, and (N, 2) projected centres in the result.
    """
    indices = {name.lower(): index for index, name in enumerate(classes)}
    labels = np.array([indices.get(name.lower(), -1) for name in objects.names], dtype=np.int64)
    centers = warp.move_points(_projected_centers(objects, calibration))
    inside = (centers >= 0).all(1) & (centers < np.array(warp.target)).all(1)
    return (labels >= 0) & _learnable(objects) & inside, labels, centers


def count_learnable(
    objects: KittiObjects, calibration: KittiCalibration, classes: Sequence[str]
) -> tuple[int, int]:
    """How many objects of the classes there are, and of how many targets come, wherever the image ends."""
    names = {name.lower() for name in classes}
    wanted = np.array([name.lower() in names for name in objects.names], dtype=bool)
    centers, boxes = _projected_centers(objects, calibration), objects.boxes2d
    inside = (centers >= boxes[:, :2]).all(1) & (centers <= boxes[:, 2:]).all(1)
    return int(wanted.sum()), int((wanted & _learnable(objects) & inside).sum())


def encode_heading(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bin and residual of angles; bin k is centred at k * 30 degrees.

    Args:
        angles: (N,) radians.

    Returns:
        (N,) bins 0..11 and (N,) radians in [-pi/12, pi/12).

    Example:
        >>> bins, residuals = encode_heading(np.array([0.1, -0.1, np.pi / 2]))
        >>> bins.tolist(), residuals.round(3).tolist()
        ([0, 0, 3], [0.1, -0.1, 0.0])
    """
    width = 2 * np.pi / HEADING_BINS
    shifted = np.mod(np.mod(angles, 2 * np.pi) + width / 2, 2 * np.pi)
    bins = np.minimum((shifted / width).astype(np.int64), HEADING_BINS - 1)
    return bins, shifted - (bins * width + width / 2)


def decode_heading(bins: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Angles in (-pi, pi] of bins and residuals: the inverse of :func:`encode_heading`.

    Example:
        >>> decode_heading(*encode_heading(np.array([-3.0, 1.0]))).round(6).tolist()
        [-3.0, 1.0]
    """
    angles = bins * (2 * np.pi / HEADING_BINS) + residuals
    return np.where(angles > np.pi, angles - 2 * np.pi, angles)


def _projected_centers(objects: KittiObjects, calibration: KittiCalibration) -> np.ndarray:
    """(N, 2) pixels of the 3D boxes' centres, divided by z as in the official code, not by P2's depth."""
    centers = objects.location - np.outer(objects.dimensions[:, 0], (0, 0.5, 0))
    pixels, depth = calibration.project(centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        return pixels * (depth / centers[:, 2])[:, None]


def _learnable(objects: KittiObjects) -> np.ndarray:
    """(N,) whether size, visibility and depth are within the limits."""
    boxes, depth = objects.boxes2d, objects.location[:, 2]
    visible = (objects.truncated >= 0) & (objects.truncated <= MAX_TRUNCATION)
    visible &= (objects.occluded >= 0) & (objects.occluded <= MAX_OCCLUSION)
    return (
        visible
        & (boxes[:, 3] - boxes[:, 1] + 1 >= MIN_HEIGHT)
        & (depth >= DEPTH_RANGE[0])
        & (depth <= DEPTH_RANGE[1])
    )


def _observation_angles(objects: KittiObjects, calibration: KittiCalibration, warp: ImageWarp) -> np.ndarray:
    """(N,) rotation_y minus the bearing of the 2D box's centre in the mirrored image."""
    boxes = warp.mirror_boxes(objects.boxes2d)
    bearing = np.arctan2((boxes[:, 0] + boxes[:, 2]) / 2 - calibration.P2[0, 2], calibration.P2[0, 0])
    return warp.mirror_angles(objects.rotation_y) - bearing

"""Augmentations of point clouds: choices of points, motions, noise. Arrays are those of ``LoadPoints``.

Random numbers come from NumPy's global generator, which mmengine seeds in each worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.errors import ConfigError
from dense3d.registry import TRANSFORMS

OF_POINTS = ("points", "colors", "normals", "intensity", "point_labels", "instances", "point_index")
AXES = {"x": 0, "y": 1, "z": 2}


def take(results: dict[str, Any], index: np.ndarray) -> dict[str, Any]:
    """Choose points together with all that is known of each."""
    for name in OF_POINTS:
        if results.get(name) is not None:
            results[name] = results[name][index]
    return results


def apply_matrix(results: dict[str, Any], matrix: np.ndarray) -> dict[str, Any]:
    """Multiply points (as columns) by a (3, 3) matrix, and turn normals and oriented boxes with them.

    Raises:
        ConfigError: the matrix tilts or shears boxes, so that none of ours encloses what they did; or as
            :func:`note_motion`.
    """
    note_motion(results)
    results["points"] = (results["points"] @ matrix.T).astype(np.float32)
    if results.get("gt_boxes") is not None:
        results["gt_boxes"] = moved_boxes(results["gt_boxes"], matrix)
    if results.get("normals") is not None:
        lengths = np.linalg.norm(results["normals"], axis=1, keepdims=True)
        turned = results["normals"] @ np.linalg.inv(matrix)
        now = np.linalg.norm(turned, axis=1, keepdims=True)
        results["normals"] = (turned * (lengths / np.where(now > 0, now, 1))).astype(np.float32)
    return results


def note_motion(results: dict[str, Any]) -> None:
    """Remember that the cloud is moved, since the cameras of photographs are not.

    Raises:
        ConfigError: there are photographs, which the cloud would no longer fit.
    """
    if results.get("views"):
        raise ConfigError(
            "a cloud that is turned, mirrored, scaled or shifted no longer fits the photographs that "
            "LoadSceneViews has read: leave such steps out of this pipeline"
        )
    results["moved"] = True


@TRANSFORMS.register_module()
class SamplePoints(BaseTransform):
    """Bring a cloud to a number of points.

    Args:
        count: how many.
        method: ``"random"`` without replacement; ``"first"`` the first ones; ``"farthest"`` farthest point
            sampling from the first point on (:func:`dense3d.ops.farthest_point_sample`).
        skip_origin: of ``"farthest"``: the official rule that points near the origin are never chosen.
        repeat: a cloud with fewer points is filled up with some of its own, drawn at random; False leaves it
            smaller.

    Example:
        >>> SamplePoints(2, "first").transform({"points": np.eye(3)})["points"].tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    def __init__(
        self, count: int, method: str = "random", skip_origin: bool = False, repeat: bool = True
    ) -> None:
        if count < 1:
            raise ConfigError(f"SamplePoints(count={count}): at least one point must stay")
        if method not in ("random", "first", "farthest"):
            raise ConfigError(f"method must be 'random', 'first' or 'farthest', not {method!r}")
        self.count, self.method, self.skip_origin, self.repeat = count, method, skip_origin, repeat

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Choose the points."""
        there = len(results["points"])
        if there < self.count:
            more = np.random.choice(there, self.count - there) if self.repeat else []
            return take(results, np.concatenate([np.arange(there), more]).astype(np.int64))
        if self.method == "first":
            return take(results, np.arange(self.count))
        if self.method == "random":
            return take(results, np.random.permutation(there)[: self.count])
        import torch

        from dense3d.ops import farthest_point_sample

        points = torch.from_numpy(np.ascontiguousarray(results["points"]))[None]
        index = farthest_point_sample(points, self.count, skip_origin=self.skip_origin)
        return take(results, index[0].numpy())


@TRANSFORMS.register_module()
class ShufflePoints(BaseTransform):
    """Bring the points into random order."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Shuffle."""
        return take(results, np.random.permutation(len(results["points"])))


@TRANSFORMS.register_module()
class NormalizePoints(BaseTransform):
    """Move the mean to the origin and divide by the largest distance from it: into the unit sphere.

    A cloud of one place stays at the origin. ``scale`` and ``offset`` of the results tell what was done.

    Args:
        center: ``"mean"`` of the points, or the ``"middle"`` of their bounds.
    """

    def __init__(self, center: str = "mean") -> None:
        if center not in ("mean", "middle"):
            raise ConfigError(f"center must be 'mean' or 'middle', not {center!r}")
        self.center = center

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Shift and scale."""
        points = results["points"].astype(np.float64)
        middle = points.mean(axis=0)
        if self.center == "middle":
            middle = (points.min(axis=0) + points.max(axis=0)) / 2
        points = points - middle
        radius = float(np.linalg.norm(points, axis=1).max())
        results["points"] = points.astype(np.float32)
        _shift_boxes(results, -middle)
        apply_matrix(results, np.eye(3) / (radius or 1.0))
        results["offset"], results["scale"] = middle, radius or 1.0
        return results


@TRANSFORMS.register_module()
class RandomScalePoints(BaseTransform):
    """Multiply the coordinates by a random number.

    Args:
        low, high: range of the number.
        per_axis: draw one for each axis, as Point-MAE does with 2/3 to 3/2.
    """

    def __init__(self, low: float = 2 / 3, high: float = 3 / 2, per_axis: bool = True) -> None:
        if not 0 < low <= high:
            raise ConfigError(f"RandomScalePoints: 0 < low <= high must hold, not low={low}, high={high}")
        self.low, self.high, self.per_axis = low, high, per_axis

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Scale."""
        factors = np.random.uniform(self.low, self.high, 3 if self.per_axis else 1)
        return apply_matrix(results, np.diag(np.broadcast_to(factors, 3)))


@TRANSFORMS.register_module()
class RandomTranslatePoints(BaseTransform):
    """Move the cloud by a random vector.

    Args:
        distance: largest shift along each axis, one number or three.
    """

    def __init__(self, distance: float | Sequence[float] = 0.2) -> None:
        self.distance = np.broadcast_to(np.asarray(distance, dtype=float), 3)
        if (self.distance < 0).any():
            raise ConfigError(f"RandomTranslatePoints(distance={distance}): it must not be negative")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Shift."""
        note_motion(results)
        offset = np.random.uniform(-self.distance, self.distance)
        results["points"] = (results["points"] + offset).astype(np.float32)
        _shift_boxes(results, offset)
        return results


@TRANSFORMS.register_module()
class RandomRotatePoints(BaseTransform):
    """Turn the cloud about an axis by a random angle.

    Args:
        axis: ``"z"``, or the axis that points up in the data set: y of ShapeNet and ModelNet.
        angle: greatest angle in radians, to both sides; pi turns anyhow.
    """

    def __init__(self, axis: str = "z", angle: float = np.pi) -> None:
        if axis not in AXES:
            raise ConfigError(f"axis must be 'x', 'y' or 'z', not {axis!r}")
        self.axis, self.angle = AXES[axis], float(angle)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Turn."""
        return apply_matrix(results, rotation(self.axis, np.random.uniform(-self.angle, self.angle)))


@TRANSFORMS.register_module()
class RandomFlipPoints(BaseTransform):
    """Mirror the cloud along axes, each with a probability.

    Args:
        axes: letters, as ``"xy"``.
        probability: of each.
    """

    def __init__(self, axes: str = "xy", probability: float = 0.5) -> None:
        if not set(axes) <= set(AXES) or not 0 <= probability <= 1:
            raise ConfigError(f"RandomFlipPoints(axes={axes!r}, probability={probability}) makes no sense")
        self.axes, self.probability = [AXES[axis] for axis in axes], probability

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror."""
        signs = np.ones(3)
        for axis in self.axes:
            if np.random.random() < self.probability:
                signs[axis] = -1
        return apply_matrix(results, np.diag(signs))


@TRANSFORMS.register_module()
class JitterPoints(BaseTransform):
    """Add normal noise to each coordinate.

    Args:
        deviation: standard deviation.
        limit: noise is cut off there.
    """

    def __init__(self, deviation: float = 0.01, limit: float = 0.05) -> None:
        if deviation < 0 or limit < 0:
            raise ConfigError(f"JitterPoints(deviation={deviation}, limit={limit}) must not be negative")
        self.deviation, self.limit = deviation, limit

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Move each point a little."""
        noise = np.random.normal(scale=self.deviation, size=results["points"].shape)
        results["points"] = (results["points"] + np.clip(noise, -self.limit, self.limit)).astype(np.float32)
        return results


@TRANSFORMS.register_module()
class DropPoints(BaseTransform):
    """Leave out a random share of the points; at least one stays.

    Args:
        greatest_share: the share is drawn between 0 and this.
        keep_count: put a point that stayed in the place of each that went, as PointNet++ does, so that the
            number of points stays.
    """

    def __init__(self, greatest_share: float = 0.875, keep_count: bool = True) -> None:
        if not 0 <= greatest_share <= 1:
            raise ConfigError(f"DropPoints(greatest_share={greatest_share}): a share is in 0..1")
        self.greatest_share, self.keep_count = greatest_share, keep_count

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Drop points."""
        count = len(results["points"])
        stays = np.random.random(count) >= np.random.uniform(0, self.greatest_share)
        if not stays.any():
            stays[np.random.randint(count)] = True
        left = np.flatnonzero(stays)
        if not self.keep_count:
            return take(results, left)
        return take(results, np.where(stays, np.arange(count), left[0]))


def moved_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes (K, 7) of the world frame after a turn about z, a mirroring or an even scaling.

    Args:
        boxes: centre, sizes along and across the heading and upwards, yaw.
        matrix: (3, 3).

    Raises:
        ConfigError: it tilts or shears.
    """
    plan = matrix[:2, :2]
    scale = np.sqrt(abs(np.linalg.det(plan)))
    tilts = np.abs(matrix[2, :2]).max() > 1e-6 or np.abs(matrix[:2, 2]).max() > 1e-6
    if tilts or not np.allclose(plan @ plan.T, scale**2 * np.eye(2), atol=1e-6):
        raise ConfigError(
            "oriented boxes cannot be tilted or stretched: turn about z, and scale with per_axis=False"
        )
    heading = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], axis=1) @ plan.T
    sizes = boxes[:, 3:6] * [scale, scale, abs(matrix[2, 2])]
    yaw = np.arctan2(heading[:, 1], heading[:, 0])
    return np.concatenate([boxes[:, :3] @ matrix.T, sizes, yaw[:, None]], axis=1).astype(np.float32)


def _shift_boxes(results: dict[str, Any], offset: np.ndarray) -> None:
    if results.get("gt_boxes") is not None:
        shift = np.concatenate([offset, np.zeros(4)])
        results["gt_boxes"] = (results["gt_boxes"] + shift).astype(np.float32)


def rotation(axis: int, angle: float) -> np.ndarray:
    """The (3, 3) matrix that turns about an axis, counter-clockwise seen from its end.

    Example:
        >>> (rotation(2, np.pi / 2) @ [1, 0, 0]).round(6).tolist()
        [0.0, 1.0, 0.0]
    """
    one, two = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[one, one] = matrix[two, two] = np.cos(angle)
    matrix[one, two], matrix[two, one] = -np.sin(angle), np.sin(angle)
    return matrix

"""Augmentations of scenes: crops, elastic distortion, other colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.datasets.pointcloud.transforms import note_motion, take
from dense3d.errors import ConfigError
from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CropPoints(BaseTransform):
    """Keep the points that are nearest to a random one of them.

    Args:
        count: so many at most.
        share: of the cloud's points at most, drawn from this range.

    Example:
        >>> CropPoints(2).transform({"points": np.eye(3)})["points"].shape
        (2, 3)
    """

    def __init__(self, count: int | None = None, share: tuple[float, float] = (1.0, 1.0)) -> None:
        if (count is not None and count < 1) or not 0 < share[0] <= share[1] <= 1:
            raise ConfigError(f"CropPoints(count={count}, share={share}): some points must stay")
        self.count, self.share = count, share

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop."""
        points = results["points"]
        kept = max(1, round(np.random.uniform(*self.share) * len(points)))
        kept = kept if self.count is None else min(kept, self.count)
        if kept >= len(points):
            return results
        away = ((points - points[np.random.randint(len(points))]) ** 2).sum(axis=1)
        return take(results, np.sort(np.argpartition(away, kept - 1)[:kept]))


@TRANSFORMS.register_module()
class ElasticDistortion(BaseTransform):
    """Move points by smooth noise, as usual for ScanNet: first fine and weak, then coarse and strong.

    Args:
        scales: pairs of the noise's period and its strength, in metres.
        probability: of being distorted at all.
    """

    def __init__(
        self,
        scales: tuple[tuple[float, float], ...] = ((0.2, 0.4), (0.8, 1.6)),
        probability: float = 0.95,
    ) -> None:
        if not 0 <= probability <= 1 or any(period <= 0 or strength < 0 for period, strength in scales):
            raise ConfigError(f"ElasticDistortion(scales={scales}, probability={probability}) makes no sense")
        self.scales, self.probability = tuple(map(tuple, scales)), probability

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Distort."""
        if np.random.random() < self.probability:
            note_motion(results)
            for period, strength in self.scales:
                results["points"] = _distorted(results["points"], period, strength)
        return results


@TRANSFORMS.register_module()
class JitterColors(BaseTransform):
    """Other colours: contrast, a common shift, noise, or none at all. A cloud without colours stays.

    Args:
        contrast: greatest blending with the cloud's stretched contrast.
        shift: greatest common shift of each channel, of colours in 0..1.
        noise: standard deviation of each point's own.
        drop: probability that the cloud is grey and tells nothing by its colours.
    """

    def __init__(
        self, contrast: float = 0.5, shift: float = 0.05, noise: float = 0.02, drop: float = 0.0
    ) -> None:
        if min(contrast, shift, noise) < 0 or not (contrast <= 1 and 0 <= drop <= 1):
            raise ConfigError(
                f"JitterColors(contrast={contrast}, shift={shift}, noise={noise}, drop={drop}) makes no sense"
            )
        self.contrast, self.shift, self.noise, self.drop = contrast, shift, noise, drop

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Recolour."""
        colors = results.get("colors")
        if colors is None:
            return results
        if np.random.random() < self.drop:
            results["colors"] = np.full_like(colors, 0.5)
            return results
        low, high = colors.min(axis=0), colors.max(axis=0)
        stretched = (colors - low) / np.maximum(high - low, 1e-6)
        colors = colors + np.random.uniform(0, self.contrast) * (stretched - colors)
        colors = colors + np.random.uniform(-self.shift, self.shift, 3)
        colors = colors + np.random.normal(scale=self.noise, size=colors.shape)
        results["colors"] = np.clip(colors, 0, 1).astype(np.float32)
        return results


def _distorted(points: np.ndarray, period: float, strength: float) -> np.ndarray:
    """Points moved by normal noise on a grid, blurred over three nodes twice, read off linearly."""
    from scipy.interpolate import RegularGridInterpolator
    from scipy.ndimage import uniform_filter1d

    low = points.min(axis=0)
    nodes = ((points.max(axis=0) - low) // period).astype(int) + 3
    noise = np.random.randn(*nodes, 3).astype(np.float32)
    for axis in (0, 1, 2, 0, 1, 2):
        noise = uniform_filter1d(noise, 3, axis=axis, mode="constant")
    places = [low[axis] + period * (np.arange(nodes[axis]) - 1) for axis in range(3)]
    read = RegularGridInterpolator(places, noise, bounds_error=False, fill_value=0)
    return (points + strength * read(points)).astype(np.float32)

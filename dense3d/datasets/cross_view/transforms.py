"""Augmentation of pairs for cross-view pre-training, ``crop224+acolor`` in CroCo's words.

P. Weinzaepfel et al., CroCo v2 (ICCV 2023): another crop of each view, colours of its own, no flip.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
import torchvision.transforms.v2 as vision
from mmcv.transforms import BaseTransform

from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS

SIDES = ("left", "right")


@TRANSFORMS.register_module()
class CrossViewCrop(BaseTransform):
    """A window of both views, the same place in each, and from it a crop at another place of each.

    CroCo's images are prepared at 256 x 256 pixels, of which 224 x 224 are used: the defaults. Images of
    another size are scaled so that the window just fits.

    Args:
        size: height and width of the crops in pixels, or one number.
        window: height and width of the window, likewise, at least ``size``.
        random: False takes the middles, for validation.

    Example:
        >>> views = {"left": np.zeros((160, 320, 3), np.uint8), "right": np.zeros((160, 320, 3), np.uint8)}
        >>> CrossViewCrop(112, 128).transform(views)["left"].shape
        (112, 112, 3)
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 224,
        window: int | tuple[int, int] = 256,
        random: bool = True,
    ) -> None:
        self.size, self.window, self.random = _pair(size), _pair(window), random
        if min(self.size) < 1 or any(crop > side for crop, side in zip(self.size, self.window)):
            raise ConfigError(f"the window {self.window} must hold the crop of size {self.size}")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cut ``left`` and ``right`` (H, W, 3)."""
        place = np.random.random(2) if self.random else np.full(2, 0.5)
        for side in SIDES:
            window = _cut(_fitted(results[side], self.window), self.window, place)
            crop = np.random.random(2) if self.random else np.full(2, 0.5)
            results[side] = np.ascontiguousarray(_cut(window, self.size, crop))
        results["img_shape"], results["rig"] = self.size, None
        return results


@TRANSFORMS.register_module()
class CrossViewColor(BaseTransform):
    """Brightness, contrast, saturation and hue, in random order, drawn for each view by itself.

    Args:
        brightness, contrast, saturation: factors are drawn from 1 - value to 1 + value.
        hue: shift drawn from -value to value, in turns of the colour circle.
        independent: False draws once for both views.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.0,
        independent: bool = True,
    ) -> None:
        self.jitter = vision.ColorJitter(brightness, contrast, saturation, hue)
        self.independent = independent

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``left`` and ``right`` (H, W, 3) uint8 of one size."""
        tensors = [torch.from_numpy(results[side]).permute(2, 0, 1) for side in SIDES]
        if self.independent:
            tensors = [self.jitter(tensor) for tensor in tensors]
        else:
            tensors = list(self.jitter(torch.stack(tensors)))
        for side, tensor in zip(SIDES, tensors):
            results[side] = np.ascontiguousarray(tensor.permute(1, 2, 0).numpy())
        return results


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _fitted(image: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """The image, scaled so that it just covers the window."""
    height, width = image.shape[:2]
    factor = max(window[0] / height, window[1] / width)
    if factor == 1:
        return image
    if factor > 16:
        raise DataError(f"an image of {width} x {height} pixels is too small for a window of {window}")
    size = (max(window[1], round(width * factor)), max(window[0], round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def _cut(image: np.ndarray, size: tuple[int, int], place: np.ndarray) -> np.ndarray:
    """A part of ``size``; ``place`` (2,) in [0, 1] says where, from top left to bottom right."""
    room = np.array(image.shape[:2]) - size
    top, left = np.minimum(np.floor(place * (room + 1)), room).astype(int)
    return image[top : top + size[0], left : left + size[1]]

"""Augmentation of CroCo v2's fine-tuning for stereo and for flow, in the order of its official code.

Reference: P. Weinzaepfel et al., "CroCo v2", ICCV 2023, arXiv:2211.10408. Two slips of that code are not
repeated: the right image's saturation is drawn from the same range as the left one's, and the centre that it
is turned about lies inside the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torchvision.transforms.functional as F
from mmcv.transforms import BaseTransform
from PIL import Image

from dense3d.datasets.stereo.colours import StereoColorJitter
from dense3d.datasets.stereo.geometry import EMPTY, IMAGES, crop, flip, resize_truth, room_for
from dense3d.datasets.stereo.resampling import scatter
from dense3d.errors import DataError
from dense3d.registry import TRANSFORMS

LARGE = 800  # pixels of the shorter side, from which on images are not only enlarged
MARGIN = 8  # pixels that a scaled image is larger than the crop


@TRANSFORMS.register_module()
class CrocoStereoAugmentation(BaseTransform):
    """Stretch in x, crop, flip upside down, disturb the rectification of the right image, change colours.

    Args:
        size: height and width of the crop.
        scale_prob: how often the width is multiplied by 2^U(0, 1), or 2^U(-0.2, 0.4) where the shorter side
            has 800 pixels or more. Images that are too narrow for the crop are stretched in any case.
        flip_prob: of upside down.
        tilt_prob: how often the right image alone is turned by up to ``max_angle`` degrees and moved by up to
            ``max_shift`` rows.
        max_angle, max_shift: see there.
        colours: whether colours change, see :func:`change_colours`.

    Raises:
        DataError: an image has fewer rows than the crop.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale_prob: float = 0.5,
        flip_prob: float = 0.5,
        tilt_prob: float = 0.5,
        max_angle: float = 0.1,
        max_shift: float = 2.0,
        colours: bool = True,
    ) -> None:
        self.size = tuple(size)
        self.scale_prob, self.flip_prob, self.tilt_prob = scale_prob, flip_prob, tilt_prob
        self.max_angle, self.max_shift, self.colours = max_angle, max_shift, colours

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Augment a pair."""
        height, width = results["left"].shape[:2]
        factor = 1.0
        if np.random.random() < self.scale_prob:
            low, high = (0.0, 1.0) if min(height, width) < LARGE else (-0.2, 0.4)
            factor = 2 ** np.random.uniform(low, high)
        factor = max(factor, (self.size[1] + MARGIN) / width)
        if factor != 1:
            stretch(results, (height, round(width * factor)))
        room = room_for(results, self.size)
        crop(results, *(np.random.randint(n + 1) for n in room), self.size)
        if np.random.random() < self.flip_prob:
            flip(results, "vertical")
        if np.random.random() < self.tilt_prob:
            results["right"] = self._tilted(results["right"])
        if self.colours:
            results["left"], results["right"] = change_colours(results["left"], results["right"])
        return results

    def _tilted(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        angle = np.random.uniform(-self.max_angle, self.max_angle)
        centre = np.random.uniform(0, width), np.random.uniform(0, height)
        matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
        matrix[1, 2] += np.random.uniform(-self.max_shift, self.max_shift)
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


@TRANSFORMS.register_module()
class CrocoFlowAugmentation(BaseTransform):
    """Scale and stretch, flip, crop, change colours.

    Args:
        size: height and width of the crop.
        scale_prob: how often both sides are multiplied by 2^U(-0.2, 0.5).
        stretch_prob: how often, of pairs that are scaled, each side is multiplied by a 2^U(-0.2, 0.2) of its
            own. No factor is below the one at which the image is 8 pixels larger than the crop.
        horizontal_prob, vertical_prob: of the flips.
        sparse: whether known flow moves point by point; None: where less than half of it is known.
        colours: whether colours change: brightness, contrast and saturation by 0.4, hue by 0.159, for both
            images alike in four of five pairs.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale_prob: float = 0.8,
        stretch_prob: float = 0.8,
        horizontal_prob: float = 0.5,
        vertical_prob: float = 0.1,
        sparse: bool | None = None,
        colours: bool = True,
    ) -> None:
        self.size = tuple(size)
        self.scale_prob, self.stretch_prob = scale_prob, stretch_prob
        self.flips = {"horizontal": horizontal_prob, "vertical": vertical_prob}
        self.sparse = sparse
        jitter = StereoColorJitter(0.4, 0.4, 0.4, 0.5 / np.pi, asymmetric_prob=0.2, joint=True)
        self.jitter = jitter if colours else None

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Augment a pair of frames."""
        shape = np.array(results["left"].shape[:2])
        factors = np.ones(2)
        if np.random.random() < self.scale_prob:
            factors *= 2 ** np.random.uniform(-0.2, 0.5)
            if np.random.random() < self.stretch_prob:
                factors *= 2 ** np.random.uniform(-0.2, 0.2, size=2)
        factors = np.maximum(factors, ((np.array(self.size) + MARGIN) / shape).max())
        size = tuple(int(side) for side in np.rint(shape * factors))
        if size != tuple(shape):
            known = np.isfinite(results["flow"]).all(axis=2) if results.get("flow") is not None else None
            sparse = self.sparse if self.sparse is not None else known is not None and known.mean() < 0.5
            stretch(results, size, sparse)
        for direction, prob in self.flips.items():
            if np.random.random() < prob:
                flip(results, direction)
        room = room_for(results, self.size)
        crop(results, *(np.random.randint(n + 1) for n in room), self.size)
        if self.jitter is not None:
            self.jitter.transform(results)
        return results


def stretch(results: dict[str, Any], size: tuple[int, int], sparse: bool = False) -> None:
    """Images at another ``size`` (height, width) by OpenCV's bilinear filter, ground truth with them.

    Args:
        results: a pair.
        size: height and width.
        sparse: move known flow point by point instead of looking for the nearest one of each pixel.
    """
    shape = results["left"].shape[:2]
    for name in EMPTY:
        if results.get(name) is not None and results[name].shape[:2] != shape:
            raise DataError(f"{results.get('left_path')}: {name} has another size than the images")
    for side in IMAGES:
        results[side] = cv2.resize(results[side], (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    scattered = {}
    if sparse and results.get("flow") is not None:
        flow = results.pop("flow")
        known = np.isfinite(flow).all(axis=2)
        ratios = np.float32([size[1] / shape[1], size[0] / shape[0]])
        scattered["flow"] = scatter(flow * ratios, known, size, np.inf)
        if results.get("nonoccluded") is not None:
            scattered["nonoccluded"] = scatter(results.pop("nonoccluded"), known, size, False)
    resize_truth(results, shape, size)
    results.update(scattered)
    if results.get("rig") is not None:
        results["rig"] = results["rig"].resized(size[1], size[0])
    results["img_shape"] = size


# Each transform of colours, how it acts on a picture and what its parameter is drawn from.
COLOURS = {
    "contrast": (F.adjust_contrast, 0.8, 1.2),
    "gamma": (F.adjust_gamma, 0.7, 1.5),
    "brightness": (F.adjust_brightness, 0.5, 2.0),
    "hue": (F.adjust_hue, -0.1, 0.1),
    "saturation": (F.adjust_saturation, 0.8, 1.2),
}


def change_colours(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One of the five transforms of colour, or all of them in random order, each with probability 0.5.

    The right image's parameter is drawn anew in half of the cases.

    Args:
        left, right: (H, W, 3) uint8.
    """
    names: Sequence[str] = list(np.random.permutation(list(COLOURS)))
    if np.random.random() < 0.5:
        names = names[:1]
    pictures = [Image.fromarray(image) for image in (left, right)]
    for name in names:
        if np.random.random() >= 0.5:
            continue
        act, low, high = COLOURS[name]
        parameters = [np.random.uniform(low, high)] * 2
        if np.random.random() < 0.5:
            parameters[1] = np.random.uniform(low, high)
        pictures = [act(picture, value) for picture, value in zip(pictures, parameters)]
    return np.asarray(pictures[0]), np.asarray(pictures[1])

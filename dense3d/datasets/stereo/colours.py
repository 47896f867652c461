"""Changes of colour that both images of a pair share, or do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torchvision.transforms as vision
import torchvision.transforms.functional as F
from mmcv.transforms import BaseTransform
from PIL import Image

from dense3d.datasets.stereo.resampling import pyramid
from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class StereoColorJitter(BaseTransform):
    """Brightness, contrast, saturation and hue in random order, the same for both images.

    With ``levels`` it also makes ``left_pyramid`` and ``right_pyramid``, lists of images of which each is
    half as large as the one before, by Lanczos' filter; each level draws colours of its own, as CCNeXt's and
    monodepth2's training does. ``left`` and ``right`` are the first level.

    Args:
        brightness, contrast, saturation, hue: as for torchvision's ``ColorJitter``.
        prob: how often colours change.
        levels: of the pyramid; 1 makes none.
        asymmetric_prob: how often each image draws colours of its own instead.
        joint: where both share them, contrast refers to the mean of both images, not to that of each.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 0.1,
        prob: float = 1.0,
        levels: int = 1,
        asymmetric_prob: float = 0.0,
        joint: bool = False,
    ) -> None:
        jitter = vision.ColorJitter(brightness, contrast, saturation, hue)
        self.ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        self.prob, self.levels = prob, levels
        self.asymmetric_prob, self.joint = asymmetric_prob, joint

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the colours of a pair or leave them."""
        levels = list(zip(*(pyramid(results[side], self.levels) for side in ("left", "right"))))
        if np.random.random() < self.prob:
            levels = [self.change(left, right) for left, right in levels]
        results["left"], results["right"] = levels[0]
        if self.levels > 1:
            results["left_pyramid"], results["right_pyramid"] = (list(images) for images in zip(*levels))
        return results

    def change(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """New colours for two images (H, W, 3) uint8."""
        if np.random.random() < self.asymmetric_prob:
            return self._drawn()(left), self._drawn()(right)
        one = self._drawn()
        if self.joint:
            both = one(np.concatenate([left, right]))
            return both[: len(left)], both[len(left) :]
        return one(left), one(right)

    def _drawn(self) -> Drawn:
        order, *factors = vision.ColorJitter.get_params(*self.ranges)
        return Drawn([int(step) for step in order], factors)


class Drawn:
    """One drawn change of colours.

    Args:
        order: of the steps: 0 brightness, 1 contrast, 2 saturation, 3 hue.
        factors: of the four; None leaves a step out.
    """

    STEPS = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)

    def __init__(self, order: list[int], factors: list[float | None]) -> None:
        self.order, self.factors = order, factors

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The image (H, W, 3) uint8 in its new colours."""
        picture = Image.fromarray(image)
        for step in self.order:
            if self.factors[step] is not None:
                picture = self.STEPS[step](picture, self.factors[step])
        return np.asarray(picture)

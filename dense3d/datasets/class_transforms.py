"""Augmentation of classifiers by timm's policies, on the images that the loader gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from dense3d.errors import ConfigError
from dense3d.optional import require
from dense3d.registry import TRANSFORMS

IMAGENET_MEAN = (124, 116, 104)  # fills what a policy moves out of the image; red, green, blue


@TRANSFORMS.register_module()
class TimmAutoAugment(BaseTransform):
    """RandAugment, AutoAugment, AugMix or 3-Augment of ``img`` (H, W, 3), blue first, uint8.

    Cubuk et al., "RandAugment", NeurIPS 2020; timm's policies and their names.

    Args:
        policy: such as ``"rand-m9-mstd0.5-inc1"``, that of DeiT, Swin and ConvNeXt; ``"original"``;
            ``"augmix-m3"``; ``"3a"``.
        mean: red, green and blue of what a policy moves into the image.

    Raises:
        ConfigError: timm does not know the policy.
    """

    def __init__(self, policy: str, mean: tuple[int, int, int] = IMAGENET_MEAN) -> None:
        augment = require("timm.data.auto_augment", "RandAugment")
        self.policy, self.mean = policy, tuple(mean)
        try:
            self._built(augment, 224)
        except (AssertionError, ValueError, KeyError, IndexError) as error:
            raise ConfigError(
                f"TimmAutoAugment: timm has no policy {policy!r} ({error}); try 'rand-m9-mstd0.5-inc1'"
            ) from error
        self._augment, self._policies = augment, {}

    def _built(self, augment: Any, side: int) -> Any:
        hints = dict(translate_const=int(side * 0.45), img_mean=self.mean, interpolation=Image.BICUBIC)
        build = augment.auto_augment_transform
        for start, other in (("rand", "rand_augment"), ("augmix", "augment_and_mix")):
            if self.policy.startswith(start):
                build = getattr(augment, f"{other}_transform")
        return build(self.policy, hints)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Apply the policy; how far images are moved follows from their shorter side."""
        side = min(results["img"].shape[:2])
        if side not in self._policies:
            self._policies[side] = self._built(self._augment, side)
        image = Image.fromarray(np.ascontiguousarray(results["img"][..., ::-1]))
        results["img"] = np.ascontiguousarray(np.asarray(self._policies[side](image))[..., ::-1])
        return results

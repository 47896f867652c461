"""Semi-global matching: what a network has to beat (Hirschmüller 2008, as OpenCV's ``StereoSGBM``).

Penalties, uniqueness and speckle filter are those of OpenCV's documentation and example of stereo matching;
nothing is fitted to data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.ops.disparity import fill_from_left, left_right_check
from dense3d.registry import MODELS
from dense3d.structures.stereo_sample import StereoSample

MODES = ("sgbm", "3way", "hh")


class SemiGlobalMatcher:
    """Disparity of a rectified pair.

    Args:
        disparities: how many are tried, a multiple of 16, from 0 on; no more than the image is wide.
        block: side of the matched window, odd.
        mode: ``"3way"``, ``"sgbm"`` (5 directions) or ``"hh"`` (8, much memory).
        uniqueness: percent by which the best cost must win.
        consistency: pixels that the right image's best match may differ by (OpenCV's ``disp12MaxDiff``);
            negative leaves that check out.
        speckle: pixels of the largest patch that is removed for differing from what is around it.
        margin: search the whole range also in the first ``disparities`` columns, where OpenCV gives nothing:
            the rows' first pixels are repeated there, and cut off again.

    Raises:
        ConfigError: a number that OpenCV does not take.

    Example:
        >>> right = np.random.default_rng(0).integers(0, 255, (40, 96, 3), dtype=np.uint8)
        >>> disparity = SemiGlobalMatcher(disparities=16)(np.roll(right, 7, axis=1), right)
        >>> float(np.median(disparity))
        7.0
    """

    def __init__(
        self,
        disparities: int = 192,
        block: int = 3,
        mode: str = "3way",
        uniqueness: int = 10,
        consistency: int = 1,
        speckle: int = 100,
        margin: bool = True,
    ) -> None:
        if disparities < 16 or disparities % 16:
            raise ConfigError(f"the number of disparities is a multiple of 16, not {disparities}")
        if block < 1 or block % 2 == 0:
            raise ConfigError(f"the matched block has an odd side, not {block}")
        if mode not in MODES:
            raise ConfigError(f"semi-global matching has the modes {', '.join(MODES)}, not {mode!r}")
        self.disparities, self.block, self.mode, self.margin = disparities, block, mode, margin
        self.uniqueness, self.consistency, self.speckle = uniqueness, consistency, speckle

    def __call__(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Match a pair.

        Args:
            left, right: ``(H, W, 3)`` or ``(H, W)`` uint8.

        Returns:
            ``(H, W)`` float32 pixels in steps of 1/16; inf where no match is sure.

        Raises:
            DataError: the images differ in size, or are not uint8.
        """
        import cv2

        if left.shape != right.shape or left.dtype != np.uint8 or right.dtype != np.uint8:
            raise DataError(
                f"semi-global matching takes two uint8 images of one size, not {left.shape} {left.dtype} and "
                f"{right.shape} {right.dtype}"
            )
        width = left.shape[1]
        tried = min(self.disparities, max(16, width // 16 * 16))
        before = tried if self.margin else 0
        if before:
            left, right = (
                cv2.copyMakeBorder(image, 0, 0, before, 0, cv2.BORDER_REPLICATE) for image in (left, right)
            )
        found = self._matcher(tried, 1 if left.ndim == 2 else left.shape[2]).compute(left, right)
        disparity = found[:, before:].astype(np.float32) / 16
        return np.where(found[:, before:] < 0, np.float32(np.inf), disparity)

    def right(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """``(H, W)`` disparity of the right image: both mirrored and exchanged, the result mirrored back."""
        mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in (right, left)]
        return np.ascontiguousarray(self(*mirrored)[:, ::-1])

    def _matcher(self, tried: int, channels: int) -> Any:
        import cv2

        modes = {"sgbm": "MODE_SGBM", "3way": "MODE_SGBM_3WAY", "hh": "MODE_HH"}
        area = channels * self.block**2
        return cv2.StereoSGBM_create(
            minDisparity=0,
            numDisparities=tried,
            blockSize=self.block,
            P1=8 * area,
            P2=32 * area,
            disp12MaxDiff=self.consistency,
            preFilterCap=63,
            uniquenessRatio=self.uniqueness,
            speckleWindowSize=self.speckle,
            speckleRange=2,
            mode=getattr(cv2, f"STEREO_SGBM_{modes[self.mode]}"),
        )


@MODELS.register_module()
class SemiGlobalMatching(BaseModel):
    """:class:`SemiGlobalMatcher` as a model without parameters, to stand beside networks in every table.

    Predicts ``pred_disparity``, and ``pred_confidence``: 1 where the match passed all checks, 0 elsewhere.

    Args:
        fill: fill what is not sure from the left along rows (:func:`dense3d.ops.fill_from_left`), and a map
            in which nothing is sure with 0; otherwise the disparity there is inf.
        left_right: also match the mirrored pair and take for unsure what it contradicts by more than a pixel.
        data_preprocessor: must leave pixels in 0..255.
        **matcher: arguments of :class:`SemiGlobalMatcher`.
    """

    def __init__(
        self,
        fill: bool = True,
        left_right: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        **matcher: Any,
    ) -> None:
        preprocessor = data_preprocessor or dict(type="StereoDataPreprocessor")
        super().__init__(MODELS.build(preprocessor), init_cfg)
        self.fill, self.left_right, self.matcher = fill, left_right, SemiGlobalMatcher(**matcher)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: list[StereoSample] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Match the pairs of a batch.

        Args:
            inputs: ``left``, ``right`` ``(B, 3, H, W)`` in 0..255.
            data_samples: of the pairs; their ``img_shape`` is what is matched.
            mode: ``"tensor"``: disparity ``(B, 1, H, W)``, inf where unsure; ``"predict"``: the samples.

        Raises:
            ConfigError: mode ``"loss"``, since nothing is learned.
        """
        if mode == "loss":
            raise ConfigError(
                "SemiGlobalMatching has no parameters to train; use it with dense3d.apis or test"
            )
        left, right = (_pictures(inputs[side]) for side in ("left", "right"))
        if mode == "tensor":
            return torch.stack([self._match(*pair) for pair in zip(left, right)])
        samples = data_samples or [StereoSample() for _ in left]
        for sample, *pair in zip(samples, left, right):
            height, width = sample.get("img_shape", pair[0].shape[:2])
            disparity = self._match(*(image[:height, :width] for image in pair))
            sure = torch.isfinite(disparity)
            sample.pred_confidence = sure.float()
            sample.pred_disparity = _filled(disparity) if self.fill else disparity
        return samples

    def _match(self, left: np.ndarray, right: np.ndarray) -> Tensor:
        """``(1, H, W)`` disparity."""
        disparity = torch.from_numpy(self.matcher(left, right))[None]
        if self.left_right:
            other = torch.from_numpy(self.matcher.right(left, right))[None]
            disparity = disparity.masked_fill(left_right_check(disparity, other), float("inf"))
        return disparity


def _filled(disparity: Tensor) -> Tensor:
    """Without holes: a map that knows nothing is one of points at infinity."""
    filled = fill_from_left(disparity)
    return filled.masked_fill(~torch.isfinite(filled), 0.0)


def _pictures(images: Tensor) -> list[np.ndarray]:
    """``(B, 3, H, W)`` in 0..255 as uint8 arrays ``(H, W, 3)``."""
    pixels = images.detach().round().clamp(0, 255).to("cpu", torch.uint8)
    return [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in pixels]

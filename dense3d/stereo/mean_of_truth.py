"""The mean of a pair's ground truth everywhere: what looking at the images has to beat by far."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.structures.stereo_sample import StereoSample

QUANTITIES = ("disparity", "depth")


@MODELS.register_module()
class MeanOfTruth(BaseModel):
    """A model without parameters that is told the mean of each pair's ground truth.

    It does better than the mean of a whole data set, which does not know the pair.

    Args:
        of: ``"disparity"``, the mean in pixels, which errors of disparity are to be compared with, or
            ``"depth"``, that in metres, for errors of depth; it needs rigs.
        max_depth: metres; farther points have no part in the mean of depth, nor in the metric's.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Raises:
        ConfigError: another quantity, or a depth that is not positive.

    Example:
        >>> sample = StereoSample()
        >>> sample.gt_disparity = torch.tensor([[[2.0, 4.0, float("inf")]]])
        >>> [found] = MeanOfTruth()({"left": torch.zeros(1, 3, 1, 3)}, [sample], mode="predict")
        >>> found.pred_disparity.tolist()
        [[[3.0, 3.0, 3.0]]]
    """

    def __init__(
        self,
        of: str = "disparity",
        max_depth: float | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type="StereoDataPreprocessor")), init_cfg)
        if of not in QUANTITIES:
            raise ConfigError(f"of={of!r}: the mean is one of {' or '.join(QUANTITIES)}")
        if max_depth is not None and not max_depth > 0:
            raise ConfigError(f"max_depth={max_depth}: give metres, or None")
        self.of, self.max_depth = of, max_depth

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: list[StereoSample] | None = None,
        mode: str = "predict",
    ) -> list[StereoSample]:
        """The samples with ``pred_disparity`` or ``pred_inverse_depth`` (1, H, W), of one value each.

        Args:
            inputs: ``left`` (B, 3, H, W), of which the size alone counts.
            data_samples: with ``gt_disparity``, or ``gt_depth`` for that.
            mode: ``"predict"``.

        Raises:
            ConfigError: another mode, since nothing is learned.
            DataError: a sample has no ground truth, or for depth no rig.
        """
        if mode != "predict":
            raise ConfigError("MeanOfTruth has no parameters to train: use it with dense3d test")
        for sample in data_samples or ():
            size = tuple(sample.get("img_shape", inputs["left"].shape[-2:]))[:2]
            if self.of == "disparity":
                sample.pred_disparity = torch.full((1, *size), self._disparity(sample))
            else:
                sample.pred_inverse_depth = torch.full((1, *size), 1 / self._depth(sample))
        return data_samples or []

    def _disparity(self, sample: StereoSample) -> float:
        if "gt_disparity" not in sample:
            raise DataError("a sample has no gt_disparity, whose mean was asked for: load the ground truth")
        known = sample.gt_disparity[sample.gt_disparity.isfinite()]
        return float(known.double().mean())

    def _depth(self, sample: StereoSample) -> float:
        rig = sample.get("rig")
        if "gt_depth" in sample:
            depth = sample.gt_depth
        elif "gt_disparity" in sample and rig is not None:
            depth = rig.resized(*sample.gt_disparity.shape[:-3:-1]).depth(sample.gt_disparity)
        else:
            raise DataError("a sample has neither gt_depth nor gt_disparity with a rig, for a mean of depth")
        known = depth[depth.isfinite() & (depth > 0) & (depth < (self.max_depth or float("inf")))]
        return float(known.double().mean())

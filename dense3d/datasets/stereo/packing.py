"""From arrays to the tensors and the data sample of a pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from dense3d.registry import TRANSFORMS
from dense3d.structures.stereo_sample import StereoSample


@TRANSFORMS.register_module()
class PackStereoInputs(BaseTransform):
    """``inputs`` with ``left`` and ``right`` (3, H, W), uint8 unless augmented otherwise, and a data sample.

    ``left_pyramid`` and ``right_pyramid``, lists of images, go along where they are. The sample is a
    :class:`~dense3d.structures.StereoSample` with ``gt_disparity`` (1, H, W), ``gt_nonoccluded`` (1, H, W),
    ``gt_depth`` (1, H, W) and ``gt_flow`` (2, H, W) as far as they are there. Its metainfo tells where the
    match of a column x lies: ``baseline_sign`` 1 at x - disparity, -1 at x + disparity, as ``reference``
    (``"left"`` or ``"right"``: whose image ``left`` is) and ``flipped`` have it.

    Args:
        meta_keys: what the sample keeps beside.
    """

    META = (
        "sample_id",
        "left_path",
        "right_path",
        "ori_shape",
        "img_shape",
        "rig",
        "reference",
        "flipped",
        "baseline_sign",
    )

    def __init__(self, meta_keys: tuple[str, ...] = META) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a pair."""
        results["img_shape"] = results["left"].shape[:2]
        mirrored = (results.get("reference") == "right") != bool(results.get("flipped"))
        results["baseline_sign"] = -1 if mirrored else 1
        sample = StereoSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        for name in ("disparity", "nonoccluded", "depth"):
            if results.get(name) is not None:
                sample.set_data({f"gt_{name}": torch.from_numpy(np.ascontiguousarray(results[name]))[None]})
        if results.get("flow") is not None:
            sample.gt_flow = _image(results["flow"])
        inputs: dict[str, Any] = {side: _image(results[side]) for side in ("left", "right")}
        for name in ("left_pyramid", "right_pyramid"):
            if name in results:
                inputs[name] = [_image(level) for level in results[name]]
        return {"inputs": inputs, "data_samples": sample}


def _image(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

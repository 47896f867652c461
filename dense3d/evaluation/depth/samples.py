"""Maps of a :class:`~dense3d.structures.StereoSample` (as a dict), at the sizes that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.rectified_rig import RectifiedRig

Sample = Mapping[str, Any]


def array_of(values: Any) -> np.ndarray:
    """A tensor on any device, of any floating-point type, as an array."""
    if not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()


def unpadded(sample: Sample, field: str) -> Any:
    """A map without the rows and columns that the data preprocessor added on the right and below.

    It adds as many as to the images, and twice as many to ground truth of twice their size.
    """
    values = sample[field]
    batch, image = sample.get("batch_input_shape"), sample.get("img_shape")
    if not field.startswith("gt_") or batch is None or image is None:
        return values
    height, width = values.shape[-2:]
    factor = 2 if (height, width) == (2 * batch[0], 2 * batch[1]) else 1
    more = factor * (batch[0] - image[0]), factor * (batch[1] - image[1])
    return values[..., : height - more[0], : width - more[1]]


def true_depth(sample: Sample) -> np.ndarray:
    """``(H, W)`` metres, 0 = missing: ``gt_depth``, or that of ``gt_disparity``.

    Raises:
        DataError: there is neither, or no rig for the disparity.
    """
    if sample.get("gt_depth") is not None:
        return array_of(unpadded(sample, "gt_depth"))[0]
    if sample.get("gt_disparity") is None:
        raise DataError(
            "there is neither gt_depth nor gt_disparity; load the ground truth in the test pipeline"
        )
    disparity = array_of(unpadded(sample, "gt_disparity"))[0]
    return _known(rig_of(sample, disparity.shape).depth(disparity), disparity)


def nonoccluded(sample: Sample) -> np.ndarray | None:
    """``(H, W)`` bool: what the other image sees too, where the sample says so."""
    if sample.get("gt_nonoccluded") is None:
        return None
    return array_of(unpadded(sample, "gt_nonoccluded"))[0].astype(bool)


def true_disparity(sample: Sample) -> np.ndarray:
    """``(H, W)`` pixels, inf = missing: ``gt_disparity``, or that of ``gt_depth``.

    Raises:
        DataError: there is neither, or no rig for the depth.
    """
    if sample.get("gt_disparity") is not None:
        return array_of(unpadded(sample, "gt_disparity"))[0]
    if sample.get("gt_depth") is None:
        raise DataError(
            "there is neither gt_disparity nor gt_depth; load the ground truth in the test pipeline"
        )
    depth = array_of(unpadded(sample, "gt_depth"))[0]
    return depth_to_disparity(depth, rig_of(sample, depth.shape))


def predicted_inverse_depth(sample: Sample) -> np.ndarray:
    """``(h, w)`` 1/metres: ``pred_inverse_depth``, or that of ``pred_disparity``.

    Raises:
        DataError: there is neither, or no rig for the disparity.
    """
    if sample.get("pred_inverse_depth") is not None:
        return array_of(sample["pred_inverse_depth"])[0]
    if sample.get("pred_disparity") is None:
        raise DataError("the model predicts neither pred_inverse_depth nor pred_disparity")
    disparity = array_of(sample["pred_disparity"])[0]
    return disparity_to_inverse_depth(disparity, rig_of(sample, disparity.shape))


def predicted_disparity(sample: Sample, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """``size`` pixels: ``pred_disparity``, or that of ``pred_inverse_depth``; and its own size before.

    Raises:
        DataError: there is neither, or no rig for the inverse depth.
    """
    if sample.get("pred_disparity") is not None:
        disparity = array_of(sample["pred_disparity"])[0]
    elif sample.get("pred_inverse_depth") is not None:
        inverse = array_of(sample["pred_inverse_depth"])[0]
        rig = rig_of(sample, inverse.shape)
        disparity = inverse * (rig.focal * rig.baseline) - rig.doffs
    else:
        raise DataError("the model predicts neither pred_disparity nor pred_inverse_depth")
    return resized_disparity(disparity, size), disparity.shape


def resized_disparity(disparity: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """:func:`dense3d.ops.resize_disparity` of an array; one of that size is returned as it is."""
    if disparity.shape == tuple(size):
        return disparity
    import torch

    from dense3d.ops import resize_disparity

    return resize_disparity(torch.from_numpy(np.ascontiguousarray(disparity, np.float32)), size).numpy()


def disparity_to_inverse_depth(disparity: np.ndarray, rig: RectifiedRig) -> np.ndarray:
    """1/metres, 0 (far away) where the disparity is not known or behind infinity."""
    known = np.where(np.isfinite(disparity), disparity + rig.doffs, 0.0)
    return np.maximum(known, 0) / (rig.focal * rig.baseline)


def depth_to_disparity(depth: np.ndarray, rig: RectifiedRig) -> np.ndarray:
    """Pixels, inf where depth is 0, infinite or NaN: missing."""
    known = np.isfinite(depth) & (depth > 0)
    return np.where(known, rig.disparity(np.where(known, depth, 1.0)), np.inf)


def rig_of(sample: Sample, size: tuple[int, ...]) -> RectifiedRig:
    """The sample's rig at ``size`` (H, W).

    Raises:
        DataError: there is none.
    """
    rig = sample.get("rig")
    if rig is None:
        raise DataError(
            "depth and disparity are converted through the rig, and this pair has none; give the data set a "
            "calibration"
        )
    return rig.resized(size[1], size[0])


def _known(depth: np.ndarray, disparity: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(disparity) & np.isfinite(depth), depth, 0.0)

"""From arrays to the tensors and the data sample of a cloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS
from dense3d.structures.point_sample import PointDataSample

FEATURES = {"points": 3, "colors": 3, "normals": 3, "intensity": 1, "height": 1}


@TRANSFORMS.register_module()
class PackPointInputs(BaseTransform):
    """``inputs`` with ``points`` (N, 3) and ``features`` (N, F) or None, and a data sample.

    The sample is a :class:`~dense3d.structures.PointDataSample` with ``gt_label``, ``category``,
    ``gt_point_labels``, ``gt_instances``, ``gt_boxes`` and ``gt_box_labels`` as far as they are there.

    Args:
        features: what ``features`` are made of, in this order: ``"colors"`` (red, green, blue),
            ``"normals"``, ``"intensity"``, ``"points"``, ``"height"`` (z above its
            0.99-th percentile, as VoteNet's).
        color_mean, color_scale: colours, in 0..1, are lessened by the one and divided by the other, which
            brings them to -1..1. Official detectors have 0.5 and 1 for SUN RGB-D, and for ScanNet
            (109.8 / 255, 97.2 / 255, 83.8 / 255) and 256 / 255.
        fill: what stands for a feature that a cloud has not; None refuses it.
        meta_keys: what the sample keeps beside.

    Raises:
        DataError: a cloud lacks a feature that is asked for.
    """

    META = ("sample_id", "path", "original_points", "scale", "offset")

    def __init__(
        self,
        features: Sequence[str] = (),
        fill: float | None = None,
        meta_keys: tuple[str, ...] = META,
        color_mean: float | Sequence[float] = 0.5,
        color_scale: float = 0.5,
    ) -> None:
        for name in features:
            if name not in FEATURES:
                raise ConfigError(f"features are made of {', '.join(FEATURES)}, not of {name!r}")
        if np.size(color_mean) not in (1, 3) or not color_scale > 0:
            raise ConfigError(
                f"color_mean={color_mean!r} and color_scale={color_scale!r}: give one or three numbers in "
                "0..1, and a positive one"
            )
        self.features, self.fill, self.meta_keys = tuple(features), fill, tuple(meta_keys)
        self.color_mean, self.color_scale = np.float32(color_mean), np.float32(color_scale)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a cloud."""
        points = torch.from_numpy(np.ascontiguousarray(results["points"], dtype=np.float32))
        metainfo = {key: results[key] for key in self.meta_keys if key in results}
        sample = PointDataSample(metainfo={**metainfo, "num_points": len(points)})
        for key in ("gt_label", "category"):
            if results.get(key) is not None:
                sample.set_field(torch.tensor(int(results[key])), key)
        fields = {"point_labels": "gt_point_labels", "instances": "gt_instances"}
        for key in (*fields, "gt_boxes", "gt_box_labels"):
            if results.get(key) is not None:
                kind = np.float32 if key == "gt_boxes" else np.int64
                values = np.ascontiguousarray(results[key], dtype=kind)
                sample.set_field(torch.from_numpy(values), fields.get(key, key))
        features = [self._feature(name, results) for name in self.features]
        packed = torch.from_numpy(np.concatenate(features, axis=1)) if features else None
        return {"inputs": {"points": points, "features": packed}, "data_samples": sample}

    def _feature(self, name: str, results: dict[str, Any]) -> np.ndarray:
        count = len(results["points"])
        if name == "height":
            z = results["points"][:, 2:]
            return (z - np.percentile(z, 0.99)).astype(np.float32)
        values = results.get(name)
        if values is None:
            if self.fill is None:
                raise DataError(
                    f"{results.get('path', 'the cloud')} has no {name}: leave it out of the features of "
                    "PackPointInputs, or say with fill=0.0 what stands for it"
                )
            return np.full((count, FEATURES[name]), self.fill, dtype=np.float32)
        values = np.asarray(values, dtype=np.float32).reshape(count, -1)
        return (values - self.color_mean) / self.color_scale if name == "colors" else values

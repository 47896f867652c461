"""Several views of one scene, whose points know each other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose

from dense3d.datasets.pointcloud.packing import PackPointInputs
from dense3d.errors import ConfigError
from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackSceneViews(BaseTransform):
    """Change a cloud at random several times and pack what comes out, with the number of each point.

    ``inputs`` have a list with one tensor a view: ``points`` (N_v, 3), ``features`` (N_v, F) and ``index``
    (N_v,) int64, the points' numbers in the cloud as it came in, by which views find their common points.
    The data sample is that of the first view and has no labels.

    Args:
        transforms: of each view.
        views: how many.
        features, fill: see :class:`~dense3d.datasets.pointcloud.packing.PackPointInputs`.

    Example:
        >>> cut = dict(type="SamplePoints", count=2)
        >>> packed = PackSceneViews([cut]).transform({"points": np.zeros((5, 3))})
        >>> [view.shape for view in packed["inputs"]["points"]], packed["inputs"]["features"]
        ([torch.Size([2, 3]), torch.Size([2, 3])], None)
    """

    def __init__(
        self,
        transforms: Sequence[dict],
        views: int = 2,
        features: Sequence[str] = (),
        fill: float | None = None,
    ) -> None:
        if views < 1:
            raise ConfigError(f"PackSceneViews(views={views}): there is one view at least")
        self.change = Compose([TRANSFORMS.build(step) for step in transforms])
        self.views, self.pack = views, PackPointInputs(features, fill)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make the views."""
        labels = ("point_labels", "instances", "gt_boxes", "gt_box_labels")
        start = {key: value for key, value in results.items() if key not in labels}
        start["point_index"] = np.arange(len(results["points"]))
        packed, index = [], []
        for _ in range(self.views):
            view = self.change(copy.copy(start))
            index.append(torch.from_numpy(np.ascontiguousarray(view.pop("point_index"))))
            packed.append(self.pack.transform(view))
        inputs = {key: [view["inputs"][key] for view in packed] for key in ("points", "features")}
        if inputs["features"][0] is None:
            inputs["features"] = None
        return {"inputs": {**inputs, "index": index}, "data_samples": packed[0]["data_samples"]}

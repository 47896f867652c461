"""Batches of scenes in several views."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from dense3d.errors import DataError
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.registry import MODELS


@MODELS.register_module()
class SceneViewsPreprocessor(BaseDataPreprocessor):
    """Write the views of a batch one after the other: the first of all scenes, the second of all, ...

    Args:
        non_blocking: of the copies to the device.

    Example:
        >>> views = [[torch.zeros(5, 3), torch.ones(4, 3)], [torch.zeros(3, 3), torch.ones(2, 3)]]
        >>> index = [[torch.arange(len(view)) for view in scenes] for scenes in views]
        >>> batch = SceneViewsPreprocessor()({"inputs": {"points": views, "index": index}})
        >>> batch["inputs"]["lengths"].tolist(), batch["inputs"]["views"]
        ([5, 4, 3, 2], 2)
    """

    def __init__(self, non_blocking: bool = False) -> None:
        super().__init__(non_blocking)
        self.clouds = PointDataPreprocessor("concatenate", non_blocking)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Batch lists of views, or of single clouds.

        Args:
            data: what :class:`~dense3d.datasets.pointcloud.scene_views.PackSceneViews` gives, collated: lists
                over views of lists over scenes; or lists over scenes of whole clouds, without ``index``.
            training: has no influence.

        Returns:
            ``inputs``: ``points`` (R, 3), ``features`` (R, F) or None, ``lengths`` (views x scenes,),
            ``index`` (R,) int64 or None, ``views``; and ``data_samples``.

        Raises:
            DataError: see :class:`~dense3d.pointcloud.PointDataPreprocessor`; or views have no index.
        """
        inputs, samples = data["inputs"], data.get("data_samples")
        points, index = inputs["points"], inputs.get("index")
        views = len(points) if isinstance(points[0], (list, tuple)) else 1
        if views > 1 and index is None:
            raise DataError("views of scenes come without the numbers of their points: use PackSceneViews")
        flat = {key: _flat(inputs.get(key)) for key in ("points", "features", "index")}
        names = None if samples is None else list(samples) * (len(flat["points"]) // len(samples))
        batch = self.clouds(
            {"inputs": {key: flat[key] for key in ("points", "features")}, "data_samples": names}
        )["inputs"]
        index = None if flat["index"] is None else torch.cat(self.cast_data(flat["index"]))
        samples = None if samples is None else self.cast_data(samples)
        return {"inputs": {**batch, "index": index, "views": views}, "data_samples": samples}


def _flat(views: Any) -> list | None:
    """Lists over views of lists over scenes as one list."""
    if views is None or not isinstance(views[0], (list, tuple)):
        return views
    return [cloud for scenes in views for cloud in scenes]

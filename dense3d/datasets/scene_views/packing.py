"""From arrays to the tensors of a scene with photographs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dense3d.datasets.pointcloud.packing import PackPointInputs
from dense3d.errors import DataError
from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackSceneInputs(PackPointInputs):
    """What :class:`~dense3d.datasets.pointcloud.packing.PackPointInputs` gives, with photographs.

    ``inputs`` has beside ``points`` and ``features``: ``images`` (V, 3, H, W) uint8 RGB, ``world_to_camera``
    (V, 4, 4), ``intrinsics`` (V, 3, 3) of these images, whole numbers at centres of pixels, and ``depths``
    (V, H, W) metres.

    Raises:
        DataError: there are no photographs, or a camera is not finite.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a scene."""
        views = results.get("views")
        if not views:
            raise DataError(
                f"{results.get('path', 'the scene')} has no photographs: put LoadSceneViews into the pipeline"
            )
        packed = super().transform(results)
        arrays = dict(
            images=np.stack([view.image.transpose(2, 0, 1) for view in views]),
            world_to_camera=np.stack([view.camera.world_to_camera for view in views]).astype(np.float32),
            intrinsics=np.stack([view.camera.intrinsics for view in views]).astype(np.float32),
            depths=np.stack([view.depth for view in views]),
        )
        for name in ("world_to_camera", "intrinsics"):
            if not np.isfinite(arrays[name]).all():
                raise DataError(f"{views[0].name}: {name} is not finite, the camera was lost there")
        packed["inputs"] |= {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
        return packed

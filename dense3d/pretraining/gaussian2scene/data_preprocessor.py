"""From lists of scenes to batches: clouds, photographs, cameras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.registry import MODELS

VIEWS = ("images", "world_to_camera", "intrinsics", "depths")
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@MODELS.register_module()
class SceneDataPreprocessor(PointDataPreprocessor):
    """Batch clouds as :class:`dense3d.pointcloud.PointDataPreprocessor` does, and photographs beside them.

    Args:
        mean, std: of red, green and blue in 0..255; ImageNet's unless given.
        layout, non_blocking: of the clouds.

    Example:
        >>> scene = dict(points=torch.zeros(5, 3), images=torch.zeros(1, 3, 4, 6, dtype=torch.uint8),
        ...     world_to_camera=torch.eye(4)[None], intrinsics=torch.eye(3)[None])
        >>> data = {"inputs": {key: [value] for key, value in scene.items()}}
        >>> batch = SceneDataPreprocessor()(data)["inputs"]
        >>> batch["images"].shape, round(batch["images"].max().item(), 2)
        (torch.Size([1, 1, 3, 4, 6]), -1.8)
    """

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        layout: str = "auto",
        non_blocking: bool = False,
    ) -> None:
        super().__init__(layout, non_blocking)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Batch a list of scenes.

        Args:
            data: ``inputs`` with what the base class takes, and ``images`` (V, 3, H, W) uint8 RGB,
                ``world_to_camera`` (V, 4, 4), ``intrinsics`` (V, 3, 3) and perhaps ``depths`` (V, H, W) of
                each scene; ``data_samples`` or none.
            training: has no influence.

        Raises:
            DataError: as the base class; or scenes have photographs of unequal size or number.
        """
        data = self.cast_data(data)
        batch, given = super().forward(data, training), data["inputs"]
        for name in VIEWS:
            values = given.get(name)
            if values is not None and all(value is not None for value in values):
                batch["inputs"][name] = _stacked(name, values)
        if "images" in batch["inputs"]:
            batch["inputs"]["images"] = (batch["inputs"]["images"].float() - self.mean) / self.std
        return batch

    def pictures(self, images: Tensor) -> Tensor:
        """Normalised images ``(..., 3, H, W)`` as RGB in 0..1."""
        return (images.float() * self.std + self.mean) / 255


def _stacked(name: str, values: Sequence[Tensor] | Tensor) -> Tensor:
    shapes = {tuple(value.shape) for value in values}
    if len(shapes) > 1:
        one, other = sorted(shapes)[:2]
        raise DataError(
            f"scenes of a batch have {name} of {one} and {other}: let the pipeline resize photographs to one "
            "size, and take equally many of each scene"
        )
    values = [value if name == "images" else value.float() for value in values]
    return torch.stack(values)

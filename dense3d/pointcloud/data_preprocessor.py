"""From lists of clouds to batches."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.structures.point_sample import PointDataSample


@MODELS.register_module()
class PointDataPreprocessor(BaseDataPreprocessor):
    """Bring clouds to the device and put them into one tensor.

    Clouds with equally many points are stacked to (B, N, 3). Others are written one after the other to
    (sum of N, 3), and ``lengths`` (B,) says how many points each has; it is None beside stacked ones.

    Args:
        layout: ``"auto"`` as above, ``"stack"`` to refuse clouds of unequal size, ``"concatenate"`` to write
            them one after the other always.
        non_blocking: of the copies to the device.

    Example:
        >>> preprocessor = PointDataPreprocessor()
        >>> batch = preprocessor({"inputs": {"points": [torch.zeros(5, 3), torch.ones(5, 3)]}})
        >>> batch["inputs"]["points"].shape, batch["inputs"]["lengths"]
        (torch.Size([2, 5, 3]), None)
        >>> batch = preprocessor({"inputs": {"points": [torch.zeros(5, 3), torch.ones(2, 3)]}})
        >>> batch["inputs"]["points"].shape, batch["inputs"]["lengths"].tolist()
        (torch.Size([7, 3]), [5, 2])
    """

    def __init__(self, layout: str = "auto", non_blocking: bool = False) -> None:
        super().__init__(non_blocking)
        if layout not in ("auto", "stack", "concatenate"):
            raise ConfigError(f"layout must be 'auto', 'stack' or 'concatenate', not {layout!r}")
        self.layout = layout

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Batch a list of clouds.

        Args:
            data: ``inputs``: ``points``, a list of (N, 3) or one (B, N, 3), and perhaps ``features``, a list
                of (N, F) or one (B, N, F), or None. ``data_samples``: a
                :class:`~dense3d.structures.PointDataSample` for each cloud, or none.
            training: has no influence.

        Returns:
            ``inputs`` with ``points``, ``features`` (None where there are none) and ``lengths``, and
            ``data_samples``.

        Raises:
            DataError: a cloud is empty or not (N, 3), features do not go with the points, only some of the
                clouds have features, or ``layout="stack"`` meets clouds of unequal size.
        """
        data = self.cast_data(data)
        inputs, samples = data["inputs"], data.get("data_samples")
        points = [cloud.float() for cloud in inputs["points"]]
        features = _features(inputs.get("features"), len(points))
        if samples is not None and len(samples) != len(points):
            raise DataError(f"{len(points)} clouds came with {len(samples)} data samples")
        names = [_name(samples[i] if samples else None, i) for i in range(len(points))]
        for index, cloud in enumerate(points):
            _check(cloud, None if features is None else features[index], names[index])
        stacked = self._stacks(points, names)
        join = torch.stack if stacked else torch.cat
        lengths = None if stacked else torch.tensor([len(p) for p in points], device=points[0].device)
        batch = dict(
            points=join(points), features=None if features is None else join(features), lengths=lengths
        )
        return {"inputs": batch, "data_samples": samples}

    def _stacks(self, points: list[Tensor], names: list[str]) -> bool:
        other = next((i for i, cloud in enumerate(points) if len(cloud) != len(points[0])), None)
        if self.layout == "stack" and other is not None:
            raise DataError(
                f"{names[0]} has {len(points[0])} points and {names[other]} {len(points[other])}: sample all "
                "to one number, or use PointDataPreprocessor(layout='auto')"
            )
        return other is None and self.layout != "concatenate"


def _features(features: Any, count: int) -> list[Tensor] | None:
    if features is None or all(one is None for one in features):
        return None
    if len(features) != count or any(one is None for one in features):
        raise DataError(
            f"of {count} clouds of a batch only some have features: choose the same for all data sets"
        )
    widths = sorted({one.shape[-1] for one in features})
    if len(widths) > 1:
        raise DataError(f"clouds of a batch have features of {widths} channels: choose the same for all")
    return [one.float() for one in features]


def _name(sample: PointDataSample | None, index: int) -> str:
    sample_id = sample.get("sample_id") if sample is not None else None
    return str(sample_id) if sample_id is not None else f"cloud {index} of the batch"


def _check(cloud: Tensor, features: Tensor | None, name: str) -> None:
    if cloud.ndim != 2 or cloud.shape[-1] != 3:
        raise DataError(f"{name}: a model reads points (N, 3), not {tuple(cloud.shape)}")
    if not len(cloud):
        raise DataError(f"{name} has no point: look at its file and at what the pipeline leaves of it")
    if features is not None and (features.ndim != 2 or len(features) != len(cloud)):
        raise DataError(f"{name}: features of {len(cloud)} points are (N, F), not {tuple(features.shape)}")

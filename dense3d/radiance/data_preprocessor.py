"""From lists of radiance grids to batches: padding with zeros at the end of each axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.structures.grid_sample import GridDataSample

CHANNELS = 4


@MODELS.register_module()
class GridDataPreprocessor(BaseDataPreprocessor):
    """Bring grids to the device and put them into one tensor.

    Args:
        resolution: voxels of each side of a batch, as NeRF-MAE pads to a cube; None for the largest grid of
            the batch, as plain NeRF-RPN.
        multiple: sides are made a multiple of this.
        non_blocking: of the copies to the device.

    Raises:
        ConfigError: a number below 1.

    Example:
        >>> grids = [torch.zeros(4, 5, 3, 2), torch.zeros(4, 2, 6, 2)]
        >>> inputs = GridDataPreprocessor(multiple=4)({"inputs": {"grids": grids}})["inputs"]
        >>> inputs["grids"].shape, inputs["shapes"].tolist()
        (torch.Size([2, 4, 8, 8, 4]), [[5, 3, 2], [2, 6, 2]])
    """

    def __init__(self, resolution: int | None = None, multiple: int = 1, non_blocking: bool = False) -> None:
        super().__init__(non_blocking)
        if (resolution is not None and resolution < 1) or multiple < 1:
            raise ConfigError(
                f"GridDataPreprocessor: resolution={resolution} and multiple={multiple} must be 1 or more"
            )
        self.resolution, self.multiple = resolution, multiple

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Batch a list of grids.

        Args:
            data: ``inputs``: ``grids``, a list of ``(4, W, L, H)`` or one ``(B, 4, W, L, H)``.
                ``data_samples``: a :class:`~dense3d.structures.GridDataSample` for each, or none.
            training: has no influence.

        Returns:
            ``inputs`` with ``grids`` ``(B, 4, X, Y, Z)`` and ``shapes`` ``(B, 3)``, and ``data_samples``.

        Raises:
            DataError: something else than that, or a grid larger than ``resolution``.
        """
        data = self.cast_data(data)
        samples = data.get("data_samples")
        grids = [grid.float() for grid in data["inputs"]["grids"]]
        if not grids:
            raise DataError("there is no grid in the batch")
        if samples is not None and len(samples) != len(grids):
            raise DataError(f"{len(grids)} grids came with {len(samples)} data samples")
        for index, grid in enumerate(grids):
            _check(grid, self.resolution, _name(samples[index] if samples else None, index))
        sides = [max(grid.shape[axis] for grid in grids) for axis in (1, 2, 3)]
        if self.resolution is not None:
            sides = [self.resolution] * 3
        sides = [-(-side // self.multiple) * self.multiple for side in sides]
        batch = torch.stack([padded(grid, sides) for grid in grids])
        shapes = torch.tensor([grid.shape[1:] for grid in grids], device=batch.device)
        return {"inputs": {"grids": batch, "shapes": shapes}, "data_samples": samples}


def padded(values: Tensor, sides: tuple[int, int, int] | list[int]) -> Tensor:
    """``(..., X, Y, Z)`` with zeros at the end of the last three axes.

    Example:
        >>> padded(torch.ones(1, 1, 2), (2, 1, 3)).tolist()
        [[[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]]
    """
    x, y, z = (side - n for side, n in zip(sides, values.shape[-3:]))
    return F.pad(values, (0, z, 0, y, 0, x))


def inside_of(shapes: Tensor, sides: tuple[int, int, int]) -> Tensor:
    """``(B, X, Y, Z)`` bool: true within each grid, false where its batch padded it.

    Example:
        >>> inside_of(torch.tensor([[1, 1, 2]]), (1, 2, 2)).tolist()
        [[[[True, True], [False, False]]]]
    """
    x, y, z = (
        torch.arange(side, device=shapes.device) < shapes[:, axis, None] for axis, side in enumerate(sides)
    )
    return x[:, :, None, None] & y[:, None, :, None] & z[:, None, None, :]


def grids_of(inputs: Tensor | Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Grids ``(B, 4, X, Y, Z)`` and their shapes ``(B, 3)``, of a batch or of a bare tensor.

    Raises:
        DataError: it is neither.
    """
    bare = isinstance(inputs, Tensor)
    grids = inputs if bare else inputs["grids"]
    if grids.ndim != 5:
        raise DataError(f"a batch of grids is (B, {CHANNELS}, X, Y, Z), not {tuple(grids.shape)}")
    if bare or inputs.get("shapes") is None:
        return grids, torch.tensor([list(grids.shape[2:])] * len(grids), device=grids.device)
    return grids, inputs["shapes"]


def _name(sample: GridDataSample | None, index: int) -> str:
    sample_id = sample.get("sample_id") if sample is not None else None
    return str(sample_id) if sample_id is not None else f"grid {index} of the batch"


def _check(grid: Tensor, resolution: int | None, name: str) -> None:
    if grid.ndim != 4 or grid.shape[0] != CHANNELS or 0 in grid.shape:
        raise DataError(
            f"{name}: a model reads grids (4, W, L, H) of colour and opacity, not {tuple(grid.shape)}"
        )
    if resolution is not None and max(grid.shape[1:]) > resolution:
        raise DataError(
            f"{name} has {'x'.join(map(str, grid.shape[1:]))} voxels, more than the {resolution} of a side "
            "that the model's batches have: extract it with a longest side of that, or raise resolution"
        )

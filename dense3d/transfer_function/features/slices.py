"""Slices of a volume as the network's images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError
from dense3d.transfer_function.features.sizes import slice_axes

# of ImageNet, what the networks were trained with
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SAMPLE = 1_000_000  # voxels that percentiles are taken of


class SliceImages:
    """Slices across the three axes, normalised over the whole volume and resized in their plane.

    The values of all voxels are brought to 0 ... 1, grey becomes three equal channels, ImageNet's mean and
    deviation follow, and each slice is resized to its axes' sizes by nearest neighbour, lower axis in rows.

    Args:
        values: (W, H, D) of any real type.
        sizes: pixels along the three axes.
        window: lower and upper percentile that become 0 and 1, with what lies beyond cut off (ours); None for
            minimum and maximum, as the official code.
        device: of the images.

    Raises:
        DataError: all voxels are equal, or none is finite.
    """

    def __init__(
        self,
        values: np.ndarray,
        sizes: Sequence[int],
        window: tuple[float, float] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.values, self.sizes, self.device = values, tuple(sizes), device
        self.low, self.high = value_range(values, window)
        self.clip = window is not None
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
        self._mean, self._std = mean, std

    def __call__(self, axis: int, indices: Sequence[int]) -> Tensor:
        """Images (B, 3, h, w) of the slices ``indices`` across array axis ``axis``."""
        planes = np.stack([np.take(self.values, i, axis) for i in indices]).astype(np.float32)
        images = torch.from_numpy(planes)[:, None].to(self.device)
        images = (images - self.low) / (self.high - self.low)
        images = torch.nan_to_num(images, nan=0.0, posinf=1.0, neginf=0.0)
        if self.clip:
            images = images.clamp(0.0, 1.0)
        images = F.interpolate(images, [self.sizes[a] for a in slice_axes(axis)], mode="nearest")
        return (images - self._mean) / self._std  # (B, 3, h, w)


def value_range(values: np.ndarray, window: tuple[float, float] | None = None) -> tuple[float, float]:
    """The values that become 0 and 1, as float32 numbers.

    Raises:
        DataError: they are equal, or no voxel is finite.
    """
    sample = values
    if window is not None:
        step = max(1, round((values.size / SAMPLE) ** (1 / 3)))
        sample = values[::step, ::step, ::step]
    sample = np.asarray(sample, np.float32)
    if not np.isfinite(sample).all():
        sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        raise DataError("no voxel of the volume has a finite value; look at how it was written")
    low, high = (sample.min(), sample.max()) if window is None else np.percentile(sample, window)
    if not low < high:
        raise DataError(
            f"all voxels {'inside the window ' if window else ''}have the value {low:g}: there is nothing "
            "to tell apart; open another volume or frame"
        )
    return float(low), float(high)

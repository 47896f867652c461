"""The feature volume of a volume: slices through the network, pooled while they stream, axes summed.

Engel, Sick and Ropinski, TVCG 2024. Memory is that of the result and of one axis's sums, F W' H' D' floats
each, whatever the number of slices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.half_precision import half_pays
from dense3d.transfer_function.classifier import Progress
from dense3d.transfer_function.features.keys import KeyNetwork
from dense3d.transfer_function.features.pooling import AxisPool, coarse_to_fine, used_slices
from dense3d.transfer_function.features.settings import FeatureSettings
from dense3d.transfer_function.features.sizes import Triple, feature_cells, image_sizes
from dense3d.transfer_function.features.slices import SliceImages

TOKENS = 4096  # in a batch on a CPU, beyond which batches gain nothing
TOKENS_CUDA = 32_768


@dataclass
class PartialFeatures:
    """Features that are not finished: whole axes in ``merged``, the axis in work in ``pool``."""

    merged: Tensor  # (F, W', H', D') float32
    pool: AxisPool | None = None
    done: tuple[int, ...] = ()  # axes
    slices: tuple[int, ...] = ()  # of the axis in work

    def preview(self) -> Tensor:
        """What is known so far, (F, W', H', D')."""
        return self.merged if self.pool is None else self.merged + self.pool.mean()


class Extraction:
    """One run over the slices of a volume, which can be looked into, stopped and gone on with.

    Args:
        values: (W, H, D) of any real type.
        network: gives the keys.
        settings: what decides the numbers; as an attribute, with the precision that was chosen.
        spacing: millimetres between voxels, for ``settings.spacing_aware``.
        first: (axis, index) of the slice that a person looks at: its axis and it come first.
        batch: slices in a batch; None fits it to the device.
        device: where it is computed.

    Raises:
        DataError: the volume is constant.
        ConfigError: the settings do not fit the volume.

    Attributes:
        cells: (W', H', D').
        images: pixels along the three axes.
        state: what is done.
    """

    def __init__(
        self,
        values: np.ndarray,
        network: KeyNetwork,
        settings: FeatureSettings,
        spacing: Sequence[float] | None = None,
        first: tuple[int, int] | None = None,
        batch: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if settings.precision == "auto":
            settings = replace(settings, precision="bfloat16" if half_pays(device) else "float32")
        self.values, self.network, self.settings = values, network.to(device), settings
        self.first, self.device = first, torch.device(device)
        aware = spacing if settings.spacing_aware else None
        patches = feature_cells(values.shape, settings.size, settings.official_sizes, aware)
        if 0 in patches:
            raise ConfigError(
                f"by the official sizes a volume of {' x '.join(map(str, values.shape))} voxels has "
                f"{' x '.join(map(str, patches))} cells: leave official_sizes off, or take a larger size"
            )
        self.images = image_sizes(patches, network.patch_size)
        self.cells: Triple = patches
        if not settings.pooled:
            axis = settings.axes[0]
            self.cells = tuple(values.shape[a] if a == axis else n for a, n in enumerate(patches))
        self.axes = sorted(settings.axes, key=lambda a: first is not None and a != first[0])
        self.batch = batch or self._batch()
        self._slices = SliceImages(values, self.images, settings.window, self.device)
        self.state = PartialFeatures(torch.zeros(network.channels, *self.cells, device=self.device))

    def _batch(self) -> int:
        largest = max(a * b for a in self.images for b in self.images) // self.network.patch_size**2
        return max(1, (TOKENS if self.device.type == "cpu" else TOKENS_CUDA) // (largest + 1))

    def order(self, axis: int) -> list[int]:
        """Slices across an axis in the order in which they are computed."""
        used = used_slices(self.values.shape[axis], self.cells[axis], self.settings.stride)
        first = self.first[1] if self.first is not None and self.first[0] == axis else None
        return coarse_to_fine(used, self.cells[axis], first)

    @property
    def count(self) -> int:
        """Slices that pass through the network."""
        return sum(len(self.order(axis)) for axis in self.axes)

    def describe(self) -> str:
        """What is to be done, in words."""
        sides = " x ".join(map(str, self.cells))
        return f"{self.count} slices, {sides} cells of {self.network.channels} channels"

    def steps(self) -> Iterator[int]:
        """Passes over the rest, one batch a step; yields how many slices are done.

        The state is consistent between steps: whoever stops keeps it.
        """
        state = self.state
        finished = sum(len(self.order(axis)) for axis in state.done)
        for axis in (a for a in self.axes if a not in state.done):
            if state.pool is None:
                state.pool = AxisPool(
                    axis, self.values.shape[axis], self.cells, self.network.channels, self.device
                )
                state.slices = ()
            seen = set(state.slices)
            left = [i for i in self.order(axis) if i not in seen]
            for start in range(0, len(left), self.batch):
                indices = left[start : start + self.batch]
                for index, features in zip(indices, self._keys(axis, indices)):
                    state.pool.add(index, features)
                state.slices += tuple(indices)
                yield finished + len(state.slices)
            finished += len(state.slices)
            state.merged += state.pool.mean()
            state.done, state.pool, state.slices = (*state.done, axis), None, ()

    def _keys(self, axis: int, indices: Sequence[int]) -> Tensor:
        precision = getattr(torch, self.settings.precision)
        with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
            return self.network(self._slices(axis, indices)).float()  # (B, F, h, w)

    def run(
        self, progress: Progress | None = None, between: Callable[[PartialFeatures], None] | None = None
    ) -> Tensor:
        """Everything that is left; (F, W', H', D') float32, not normalised.

        Args:
            progress: told what is done; seconds left from the second batch on, since the first one also pays
                for what is set up. Raises to stop.
            between: called with the state after each batch.
        """
        start, first, count = 0.0, None, self.count
        for done in self.steps():
            left = None
            if first is None:
                start, first = time.perf_counter(), done
            else:
                left = (time.perf_counter() - start) / (done - first) * (count - done)
            if between is not None:
                between(self.state)
            if progress is not None:
                progress(done / count, f"features: {done} of {count} slices", left)
        return self.state.merged


def normalised(features: Tensor) -> Tensor:
    """L2 normalisation over the channels (axis -4), by at least 1e-12."""
    return F.normalize(features, dim=-4)


def extract_features(
    values: np.ndarray,
    network: KeyNetwork,
    settings: FeatureSettings | None = None,
    spacing: Sequence[float] | None = None,
    progress: Progress | None = None,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Merged features of a volume, (F, W', H', D') float32, before normalisation.

    Args:
        values: (W, H, D).
        network: gives the keys.
        settings: the paper's unless given.
        spacing: millimetres between voxels, for ``settings.spacing_aware``.
        progress: told what is done; raises to stop.
        device: where it is computed.

    Raises:
        DataError: the volume is constant.
        ConfigError: the settings do not fit the volume.
    """
    return Extraction(values, network, settings or FeatureSettings(), spacing, device=device).run(progress)

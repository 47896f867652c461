"""Maps refined to the edges of the volume: crop, contrast, bilateral solver, dilated mask.

The interactive path of Engel, Sick and Ropinski, TVCG 2024 (official Inviwo module); the batch evaluation's
differs by its downscale of 2, its crop and its confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.transfer_function.bilateral import (
    CONFIDENCE,
    BilateralGrid,
    GridSizes,
    SolverOptions,
    gradient_confidence,
)
from dense3d.transfer_function.similarity import (
    OFFLINE_SHARE,
    relative_coordinates,
    resized,
    sample_features,
)


@dataclass(frozen=True)
class RefinementOptions:
    """The defaults are those of the official interface.

    Args:
        downscale: voxels of the volume to one of the refined map, along each axis; 1 ... 8.
        sizes: of the grid's cells.
        solver: of the linear system.
        confidence: of the map, the same everywhere; None for one that is low at the volume's edges.
        contrast: the volume is stretched by three times this around the annotated values; None: it is not.
        pad: voxels around the box that is solved in.
        threshold: of the map, what the box has to hold; None for 0.99 of its maximum times the iso-value.
        dilation: side of the cube by which the map above its threshold grows; beyond it the result is 0.
            None keeps all of it.

    Raises:
        ConfigError: a value is out of its range.
    """

    downscale: float = 4.0
    sizes: GridSizes = field(default_factory=lambda: GridSizes(5, 5, 5))
    solver: SolverOptions = field(default_factory=SolverOptions)
    confidence: float | None = CONFIDENCE
    contrast: float | None = 2.0
    pad: int = 5
    threshold: float | None = None
    dilation: int | None = 7

    def __post_init__(self) -> None:
        dilation = 1 if self.dilation is None else self.dilation
        if self.downscale < 1 or self.pad < 0 or dilation < 1 or dilation % 2 == 0:
            raise ConfigError(
                f"downscale={self.downscale}, pad={self.pad} and dilation={self.dilation} of a refinement: "
                "downscale is at least 1, pad at least 0 and dilation odd"
            )


# of the batch evaluation
OFFLINE = RefinementOptions(
    downscale=2, sizes=GridSizes(7, 5, 5), confidence=None, contrast=None, pad=2, threshold=0.1, dilation=None
)


def refined_shape(shape: Sequence[int], downscale: float) -> tuple[int, int, int]:
    """Voxels of the refined map.

    Example:
        >>> refined_shape((122, 101, 3), 4.0)
        (30, 25, 1)
    """
    return tuple(max(1, int(d // downscale)) for d in shape)


def crop_bounds(similarity: Tensor, threshold: float, pad: int) -> Tensor:
    """Lower corner and the voxel behind the upper one, (2, 3), of the padded box of what exceeds a threshold.

    The whole volume where nothing does.

    Example:
        >>> crop_bounds(torch.tensor([0.0, 0, 0, 1, 0]).view(5, 1, 1), 0.5, 1).tolist()
        [[2, 0, 0], [5, 1, 1]]
    """
    shape = torch.tensor(similarity.shape)
    places = torch.nonzero(similarity > threshold).cpu()
    if len(places) == 0:
        return torch.stack([torch.zeros(3, dtype=torch.int64), shape])
    upper = torch.minimum(places.amax(0) + pad + 1, shape)
    return torch.stack([(places.amin(0) - pad).clamp(min=0), upper])


def dilated(mask: Tensor, size: int) -> Tensor:
    """A mask (X, Y, Z) grown by a cube of ``size`` voxels, an odd number.

    Example:
        >>> dilated(torch.tensor([0, 0, 1, 0, 0]).view(5, 1, 1) > 0, 3).flatten().int().tolist()
        [0, 1, 1, 1, 0]
    """
    grown = mask.float()[None, None]
    for axis in range(3):
        window = [1, 1, 1]
        window[axis] = size
        padding = [size // 2 if side > 1 else 0 for side in window]
        grown = torch.nn.functional.max_pool3d(grown, window, 1, padding)
    return grown[0, 0] > 0


def stretched(volume: Tensor, value: float, factor: float) -> Tensor:
    """Contrast around a value: ``(v - value) * factor + value``, cut off to 0 ... 1."""
    return ((volume - value) * factor + value).clamp(0.0, 1.0)


def min_max(volume: Tensor) -> Tensor:
    """Values brought to 0 ... 1; zeros where all are equal."""
    low, high = volume.min(), volume.max()
    return (volume - low) / (high - low) if high > low else torch.zeros_like(volume)


class Refiner:
    """A volume at the resolution of refined maps, kept between clicks.

    Args:
        volume: (W, H, D), or (M, W, H, D): two channels are one a modality, three or more RGB.
        options: the interface's unless given.
    """

    def __init__(self, volume: np.ndarray, options: RefinementOptions | None = None) -> None:
        self.options = options or RefinementOptions()
        channels = volume[None] if volume.ndim == 3 else volume
        self.full_shape = channels.shape[1:]
        self.shape = refined_shape(self.full_shape, self.options.downscale)
        small = [resized(torch.from_numpy(c.astype(np.float32)), self.shape) for c in channels]
        self.volume = min_max(torch.stack(small))  # (M, X, Y, Z)

    def references(self, voxels: Tensor) -> np.ndarray:
        """What the solver follows, uint8, stretched around the annotated voxels' median.

        (M, X, Y, Z), grey, for one or two channels, or (1, 3, X, Y, Z), the first three of more as RGB.
        """
        if self.options.contrast is None:
            return _by_modality((255.0 * self.volume).to(torch.uint8).numpy())
        relative = relative_coordinates(voxels, self.full_shape).to(self.volume.device)
        median = sample_features(self.volume, relative, "nearest").median()
        volume = stretched(self.volume, median, 3.0 * self.options.contrast)
        return _by_modality((255.0 * volume).to(torch.uint8).numpy())

    def __call__(
        self,
        similarity: Tensor | Mapping[int, Tensor],
        voxels: Tensor,
        isovalue: float,
        weights: Sequence[float] = (1.0,),
    ) -> Tensor:
        """A map before scaling, or one a modality, to the refined map.

        Args:
            similarity: (W', H', D').
            voxels: (A, 3), the annotations of the class.
            isovalue: 0 ... 1: where the class ends, which decides the box and the mask.
            weights: factor of each modality's refined map.

        Returns:
            (X, Y, Z) float32, 0 ... 255; the official code truncates it to uint8.
        """
        maps = similarity if isinstance(similarity, Mapping) else {0: similarity}
        total, top = torch.zeros(self.shape), torch.zeros(())
        if len(voxels) == 0:
            return total
        references = self.references(voxels)
        for index, values in maps.items():
            values = resized(values.float().cpu(), self.shape)
            refined = weights[index] * self._solve(values, references, index, isovalue)
            top = OFFLINE_SHARE * refined.max()  # of the last modality, as officially
            total += refined
        return (255.0 / top * total).clamp(0.0, 255.0) if top > 0 else total

    def _solve(self, values: Tensor, references: np.ndarray, index: int, isovalue: float) -> Tensor:
        options = self.options
        threshold = options.threshold
        if threshold is None:
            threshold = float(OFFLINE_SHARE * values.max() * isovalue)
        low, high = crop_bounds(values, threshold, options.pad).tolist()
        box = tuple(slice(a, b) for a, b in zip(low, high))
        crop = values[box]
        reference = np.ascontiguousarray(references[min(index, len(references) - 1)][(..., *box)])
        grid = BilateralGrid(reference, options.sizes)
        confidence = options.confidence
        if confidence is None:
            confidence = gradient_confidence(reference if reference.ndim == 3 else reference[0])
        solved = torch.from_numpy(grid.solve(crop.numpy(), confidence, options.solver)).float()
        if options.dilation is not None:
            solved *= dilated(crop > threshold, options.dilation)
        refined = torch.zeros(self.shape)
        refined[box] = solved
        return refined


def _by_modality(channels: np.ndarray) -> np.ndarray:
    return channels if len(channels) < 3 else channels[None, :3]

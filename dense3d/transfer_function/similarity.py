"""Similarity maps: how much the features of each cell resemble those of annotated voxels.

Engel, Sick and Ropinski, "Leveraging Self-Supervised Vision Transformers for Segmentation-based Transfer
Function Design", TVCG 2024, with the constants of the official code. Coordinates ``(x, y, z)`` are indices
of the array axes 0, 1, 2; *relative* ones run from -1 to 1 over the volume, from border to border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError

LOWER_CUT, OFFLINE_LOWER_CUT = 0.1, 0.25  # of the interface, of the batch evaluation
EXPONENT = 2.5
QUANTILE = 0.9999
PROXIMITY_GRID = 48  # points a side
OFFLINE_SHARE = 0.99  # of the maximum, in the batch evaluation
REDUCTIONS = ("mean", "max")


@dataclass(frozen=True)
class SimilarityOptions:
    """How annotations become the map of a class; the defaults are those of the official interface.

    Args:
        lower_cut: similarities below count as 0.
        exponent: power that the others are raised to.
        reduction: over the annotations of a class, ``"mean"`` or ``"max"``.
        proximity: how fast maps fall off with the distance from the nearest annotation, 0 ... 1; 0: not.
        quantile: of a map, the value that becomes 255.
        connected_component: whether only the largest component of a class is kept.
        component_threshold: what belongs to a component, as a share of the map before scaling.
        smoothing: deviation in cells of a Gaussian over the finished map; the official module has 0.5.
        open_close: how often the finished map is opened and closed, see :func:`smoothed`.

    Raises:
        ConfigError: a value is out of its range.
    """

    lower_cut: float = LOWER_CUT
    exponent: float = EXPONENT
    reduction: str = "mean"
    proximity: float = 0.1
    quantile: float = QUANTILE
    connected_component: bool = False
    component_threshold: float = LOWER_CUT
    smoothing: float = 0.0
    open_close: int = 0

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise ConfigError(f"reduction={self.reduction!r} of similarities: use 'mean' or 'max'")
        if not 0 <= self.proximity <= 1 or not 0 < self.quantile <= 1 or self.exponent <= 0:
            raise ConfigError(
                f"proximity={self.proximity}, quantile={self.quantile} and exponent={self.exponent} of "
                "similarities: proximity lies in 0 ... 1, quantile in 0 ... 1 and the exponent above 0"
            )


def relative_coordinates(voxels: Tensor, shape: Sequence[int]) -> Tensor:
    """Voxel indices (A, 3) in a volume of ``shape`` to relative coordinates (A, 3), float32.

    Example:
        >>> relative_coordinates(torch.tensor([[0, 1, 9]]), (1, 4, 10)).tolist()
        [[0.0, -0.25, 0.8999999761581421]]
    """
    return (voxels.float() + 0.5) / torch.tensor(shape, dtype=torch.float32, device=voxels.device) * 2.0 - 1.0


def sample_features(features: Tensor, relative: Tensor, mode: str = "trilinear") -> Tensor:
    """Features at relative coordinates.

    Interpolated features are not normalised anew, and outside of the volume lie zeros: within half a cell of
    the border they are shorter.

    Args:
        features: (F, W', H', D').
        relative: (A, 3).
        mode: ``"trilinear"`` or ``"nearest"``.

    Returns:
        (A, F).

    Example:
        >>> ramp = torch.arange(4.0).view(1, 4, 1, 1)
        >>> sample_features(ramp, torch.tensor([[0.0, 0.0, 0.0]])).tolist()
        [[1.5]]
    """
    mode = {"trilinear": "bilinear"}.get(mode, mode)
    grid = relative.flip(-1).to(features.dtype)[None, :, None, None]  # (1, A, 1, 1, 3), last axis first
    sampled = F.grid_sample(features[None], grid, mode=mode, padding_mode="zeros", align_corners=False)
    return sampled[0, :, :, 0, 0].T


def similarities(features: Tensor, queries: Tensor) -> Tensor:
    """Dot products of the queries (A, F) with each cell of ``features`` (F, W', H', D'): (A, W', H', D')."""
    return (queries @ features.flatten(1)).unflatten(1, features.shape[1:])


def emphasised(similarity: Tensor, lower_cut: float = LOWER_CUT, exponent: float = EXPONENT) -> Tensor:
    """Zero below the cut, the power of the rest.

    Example:
        >>> emphasised(torch.tensor([-1.0, 0.05, 0.25, 1.0])).tolist()
        [0.0, 0.0, 0.03125, 1.0]
    """
    return torch.where(similarity >= lower_cut, similarity, similarity.new_zeros(())).pow(exponent)


def reduced(similarity: Tensor, options: SimilarityOptions | None = None) -> Tensor:
    """Similarities (A, W', H', D') of the annotations of a class to one map (W', H', D').

    No annotation gives zeros.
    """
    options = options or SimilarityOptions()
    if len(similarity) == 0:
        return similarity.new_zeros(similarity.shape[1:])
    maps = emphasised(similarity, options.lower_cut, options.exponent)
    return maps.amax(0) if options.reduction == "max" else maps.mean(0)


def nearest_distances(relative: Tensor, size: int = PROXIMITY_GRID) -> Tensor:
    """Distance of the points of a grid of ``size``^3 over -1 ... 1 to the nearest of (A, 3) points.

    Distances are relative ones: in a volume that is no cube they are stretched.
    """
    line = torch.linspace(-1, 1, size, device=relative.device)
    nearest = torch.full((size, size, size), torch.inf, device=relative.device)
    for x, y, z in (line - relative.float()[:, :, None]).square():  # (3, size) of each point
        torch.minimum(nearest, x[:, None, None] + y[:, None] + z, out=nearest)
    return nearest.sqrt()


def proximity_weight(relative: Tensor, strength: float, shape: Sequence[int]) -> Tensor:
    """Weights (W', H', D') that fall off with the distance from the nearest annotation.

    ``exp(-10 p (d - 0.1))``, at most 1, on a grid of 48^3 points, then trilinear to the shape of the map.

    Args:
        relative: (A, 3) annotations of a class.
        strength: p, 0 ... 1.
        shape: of the map.
    """
    weight = torch.exp(-10.0 * strength * (nearest_distances(relative) - 0.1)).clamp(0.0, 1.0)
    return resized(weight, shape)


def resized(volume: Tensor, shape: Sequence[int]) -> Tensor:
    """Trilinear (``align_corners=False``, no low-pass filter) resize of (X, Y, Z)."""
    if tuple(volume.shape) == tuple(shape):
        return volume
    return F.interpolate(volume[None, None], tuple(shape), mode="trilinear", align_corners=False)[0, 0]


def quantile(values: Tensor, q: float) -> Tensor:
    """Linearly interpolated quantile over all elements, also of more than the 2^24 that torch takes.

    Example:
        >>> quantile(torch.arange(11.0), 0.95)
        tensor(9.5000)
    """
    flat = values.detach().float().flatten()
    rank = q * (flat.numel() - 1)
    below = int(rank)
    if q >= 0.5:
        top = torch.topk(flat, flat.numel() - below, sorted=True).values.flip(0)  # from rank ``below`` on
    else:
        top = torch.sort(flat).values[below : below + 2]
    return torch.lerp(top[0], top[min(1, len(top) - 1)], rank - below)


def scaled(similarity: Tensor, q: float = QUANTILE) -> Tensor:
    """A map with its quantile at 255, cut off there; float, 0 ... 255. A map of zeros stays zero."""
    top = quantile(similarity, q)
    if not top > 0:
        return torch.zeros_like(similarity, dtype=torch.float32)
    return (255.0 / top * similarity.float()).clamp(0.0, 255.0)


def offline_scaled(similarity: Tensor) -> Tensor:
    """The batch evaluation's scale: 0.99 of the maximum at 255, uint8; what is above stays 255, too.

    The official cast lets those few entries wrap around to 0 and 1.
    """
    top = similarity.max()
    if not top > 0:
        return torch.zeros_like(similarity, dtype=torch.uint8)
    return (255.0 / (OFFLINE_SHARE * top) * similarity).clamp(0.0, 255.0).to(torch.uint8)


def offline_map(similarity: Tensor, shape: Sequence[int], options: SimilarityOptions | None = None) -> Tensor:
    """The map of a class as the batch evaluation makes it, uint8 at half the volume's size.

    Args:
        similarity: (A, W', H', D') of the annotations of the class.
        shape: (W, H, D) of the volume.
        options: cut, exponent and reduction; the batch evaluation's unless given.
    """
    options = options or SimilarityOptions(lower_cut=OFFLINE_LOWER_CUT)
    half = tuple(d // 2 for d in shape)
    return F.interpolate(offline_scaled(reduced(similarity, options))[None, None], half, mode="nearest")[0, 0]


def class_map(
    features: Tensor,
    voxels: Tensor,
    shape: Sequence[int],
    options: SimilarityOptions | None = None,
    weights: Sequence[float] = (1.0,),
) -> Tensor:
    """Map of a class before scaling, (W', H', D'): the whole chain for one class.

    Args:
        features: normalised, (F, W', H', D') or, of several modalities, (M, F, W', H', D').
        voxels: (A, 3) annotated voxel indices of the class.
        shape: (W, H, D) of the volume.
        options: the interface's unless given.
        weights: factor of each modality; those that are missing count 0.
    """
    maps = modality_maps(features, voxels, shape, options, weights)
    return sum(weights[index] * values for index, values in maps.items())


def modality_maps(
    features: Tensor,
    voxels: Tensor,
    shape: Sequence[int],
    options: SimilarityOptions | None = None,
    weights: Sequence[float] = (1.0,),
) -> dict[int, Tensor]:
    """Maps of the modalities with a weight above 0, before they are weighted; see :func:`class_map`."""
    options = options or SimilarityOptions()
    features = features[None] if features.ndim == 4 else features
    relative = relative_coordinates(voxels, shape)
    maps = {}
    for index, (volume, weight) in enumerate(zip(features, weights)):
        if weight > 0:
            similarity = similarities(volume, sample_features(volume, relative))
            maps[index] = shaped(reduced(similarity, options), relative, options)
    return maps or {0: features.new_zeros(features.shape[2:])}


def shaped(similarity: Tensor, relative: Tensor, options: SimilarityOptions) -> Tensor:
    """A reduced map after proximity weight and, where that is on, its largest component."""
    if options.proximity > 0 and len(relative):
        similarity = similarity * proximity_weight(relative, options.proximity, similarity.shape)
    if options.connected_component:
        similarity = similarity * largest_component(similarity > options.component_threshold)
    return similarity


def largest_component(mask: Tensor) -> Tensor:
    """The largest component, with 26 neighbours, of a mask (X, Y, Z); the first of equals.

    The official interface has this on CUDA only; here every device gives the same.

    Example:
        >>> largest_component(torch.tensor([[[1, 0, 1, 1]]]) > 0).int().tolist()
        [[[0, 0, 1, 1]]]
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask.cpu().numpy(), structure=np.ones((3, 3, 3)))
    if count == 0:
        return torch.zeros_like(mask)
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    return torch.from_numpy(labels == largest).to(mask.device)


def smoothed(maps: np.ndarray, sigma: float = 0.0, open_close: int = 0) -> np.ndarray:
    """Post-processing of a uint8 map: Gaussian (truncated to uint8), then n times grey opening and closing.

    Args:
        maps: (X, Y, Z) uint8.
        sigma: of the Gaussian in voxels; the official interface has 0.5; 0: none.
        open_close: n; the windows have 3^3 voxels.
    """
    from scipy import ndimage

    if sigma > 0:
        maps = ndimage.gaussian_filter(maps, sigma)
    for _ in range(open_close):
        maps = ndimage.grey_closing(ndimage.grey_opening(maps, (3, 3, 3)), (3, 3, 3))
    return maps

"""Features at points from the maps of all levels of a pyramid.

Hermosilla et al., "Masked Scene Modeling", CVPR 2025: hierarchical features for the evaluation of frozen
networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.ops import unique_voxels
from dense3d.pointcloud.sparse.levels import SparseLevel, SparsePyramid

MODES = ("trilinear", "nearest")
MAPPINGS = ("official", "consistent")
CORNERS = tuple(itertools.product((0, 1), repeat=3))
CHUNK = 1 << 16  # places that are looked up at a time


def sample_levels(
    pyramid: SparsePyramid,
    maps: Sequence[Tensor],
    coords: Tensor,
    scene: Tensor | None = None,
    mode: str = "trilinear",
    mapping: str = "official",
    levels: Sequence[int] | None = None,
) -> Tensor:
    """Features at points, those of all maps one after the other; see :func:`sample_level`.

    Args:
        pyramid: see :func:`~dense3d.pointcloud.sparse.build_pyramid`.
        maps: ``(V_l, C_l)``, finest first.
        coords: ``(N, 3)`` integers: the voxel of the finest level that each point lies in, which need not be
            occupied.
        scene: ``(N,)``, which scene each point belongs to; 0 unless given.
        mode, mapping: see :func:`sample_level`.
        levels: that the maps are on; 0, 1, 2, ... unless given.

    Returns:
        ``(N, sum of C_l)``, differentiable with respect to the maps.

    Raises:
        ConfigError: another mode or mapping.
        DataError: other shapes.

    Example:
        >>> from dense3d.pointcloud.sparse import build_pyramid
        >>> pyramid = build_pyramid(torch.tensor([[0, 0, 0], [4, 4, 4]]), depth=2)
        >>> maps = [torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])]
        >>> sample_levels(pyramid, maps, torch.tensor([[4, 4, 4], [1, 0, 0]]), mode="nearest").tolist()
        [[2.0, 4.0], [0.0, 3.0]]
    """
    levels = range(len(maps)) if levels is None else levels
    if len(levels) != len(maps):
        raise DataError(f"{len(maps)} maps are on {len(maps)} levels, not {len(levels)}")
    places = unique_voxels(coords, scene)  # points in one voxel have one feature
    found = [
        sample_level(pyramid[level], values, 2**level, places.coordinates, places.batch, mode, mapping)
        for level, values in zip(levels, maps)
    ]
    return torch.cat(found, dim=1)[places.inverse]


def sample_level(
    level: SparseLevel,
    values: Tensor,
    stride: int,
    coords: Tensor,
    scene: Tensor | None = None,
    mode: str = "trilinear",
    mapping: str = "official",
) -> Tensor:
    """Features of one level at points; empty voxels count as zeros, so that features shrink beside surfaces.

    Args:
        level: its voxels.
        values: ``(V, C)``, floating.
        stride: width of a voxel in those that ``coords`` count.
        coords, scene: see :func:`sample_levels`.
        mode: ``"trilinear"``, of the eight voxels around; ``"nearest"``, the voxel that the point's lies in.
        mapping: where the middle c + 1/2 of a point's voxel lies for ``"trilinear"``, counted from the middle
            of voxel 0: ``"official"`` at ``(c + 1/2) / stride * (S - 1) / S``, S the voxels of the scene
            along the axis, as the published features have it; ``"consistent"`` at
            ``(c + 1/2) / stride - 1/2``.

    Returns:
        ``(N, C)``.

    Raises:
        ConfigError: another mode or mapping.
        DataError: other shapes.
    """
    if mode not in MODES:
        raise ConfigError(f"features are sampled {' or '.join(map(repr, MODES))}, not {mode!r}")
    if mapping not in MAPPINGS:
        raise ConfigError(f"points are mapped {' or '.join(map(repr, MAPPINGS))}, not {mapping!r}")
    if values.ndim != 2 or len(values) != len(level):
        raise DataError(f"a map of {len(level)} voxels is (V, C), not {tuple(values.shape)}")
    scene = coords.new_zeros(len(coords)) if scene is None else scene
    if not len(level) or not len(coords):
        return values.new_zeros(len(coords), values.shape[1])
    parts = zip(coords.split(CHUNK), scene.split(CHUNK))
    if mode == "nearest":
        return torch.cat([_rows(values, level.hash.lookup(c // stride, s)) for c, s in parts])
    sizes = _scene_sizes(level, int(scene.max()) + 1)
    return torch.cat(
        [_trilinear(level, values, _position(c, stride, sizes[s], mapping), s) for c, s in parts]
    )


def _position(coords: Tensor, stride: int, size: Tensor, mapping: str) -> Tensor:
    """``(N, 3)`` float64, in voxels of the level from the middle of its voxel 0."""
    middle = (coords.double() + 0.5) / stride
    return middle * ((size - 1) / size) if mapping == "official" else middle - 0.5


def _scene_sizes(level: SparseLevel, num_scenes: int) -> Tensor:
    """``(B, 3)`` float64: one more than the largest occupied index of each scene along each axis."""
    largest = level.coords.new_zeros(max(num_scenes, level.num_scenes), 3)
    index = level.scene[:, None].expand(-1, 3)
    return largest.scatter_reduce(0, index, level.coords, "amax").double() + 1


def _trilinear(level: SparseLevel, values: Tensor, position: Tensor, scene: Tensor) -> Tensor:
    low = position.floor()
    share = (position - low)[:, None]  # (N, 1, 3), of the upper neighbour
    corners = torch.tensor(CORNERS, device=low.device)  # (8, 3)
    weight = torch.where(corners.bool(), share, 1 - share).prod(dim=2)  # (N, 8)
    index = level.hash.lookup(low.long()[:, None] + corners, scene[:, None].expand(-1, 8))
    weight = (weight * (index >= 0)).to(values.dtype)
    return F.embedding_bag(index.clamp(min=0), values, mode="sum", per_sample_weights=weight)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """``(N, C)``, zeros for index -1."""
    return values[index.clamp(min=0)] * (index >= 0)[:, None]

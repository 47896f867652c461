"""From clouds of a batch to voxels with the features of one of their points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.pointcloud.sparse import join_scenes
from dense3d.pointcloud.sparse.scenes import voxelize_points


class VoxelBatch(NamedTuple):
    """V voxels of R points of B scenes.

    Attributes:
        coords: ``(V, 3)`` int64, at least 0 in each scene.
        scene: ``(V,)`` int64, ascending.
        features: ``(V, F)``, of one point of each voxel.
        voxel: ``(R,)`` int64, the voxel of each point.
        grid: ``(R, 3)`` int64, its coordinates.
        point_scene: ``(R,)`` int64, ascending.
    """

    coords: Tensor
    scene: Tensor
    features: Tensor
    voxel: Tensor
    grid: Tensor
    point_scene: Tensor


def clouds_of(inputs: Mapping[str, Tensor | None], channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clouds of a batch one after the other.

    Args:
        inputs: what :class:`dense3d.pointcloud.PointDataPreprocessor` gives.
        channels: F, of the features that a network reads; with 0, coordinates alone will do.

    Returns:
        ``(R, 3)`` points, ``(R, F)`` features, ``(B,)`` lengths.

    Raises:
        DataError: features are missing, or have other channels.

    Example:
        >>> inputs = {"points": torch.ones(2, 5, 3), "features": torch.ones(2, 5, 1), "lengths": None}
        >>> [part.shape for part in clouds_of(inputs, 1)]
        [torch.Size([10, 3]), torch.Size([10, 1]), torch.Size([2])]
    """
    points, features, lengths = inputs["points"], inputs.get("features"), inputs.get("lengths")
    if features is None and channels == 0:
        features = points.new_zeros(*points.shape[:-1], 0)
    if features is None or features.shape[-1] != channels:
        given = "none" if features is None else features.shape[-1]
        raise DataError(
            f"this network reads {channels} features of points, and there are {given}: name them in the "
            "packing step of the pipeline, such as features=('colors', 'normals') with fill=0.0 for clouds "
            "that lack them, or set backbone.in_channels; with 0, coordinates alone are read"
        )
    if lengths is None:
        lengths = torch.full((len(points),), points.shape[1], device=points.device)
        points, features = points.flatten(0, 1), features.flatten(0, 1)
    return points, features, lengths


def voxel_batch(
    points: Tensor, features: Tensor, lengths: Tensor, voxel_size: float, random: bool = False
) -> VoxelBatch:
    """Voxelise the scenes of a batch, each moved as :func:`~dense3d.pointcloud.sparse.voxelize_scene` does.

    Args:
        points: ``(R, 3)``, metres, z up, the scenes one after the other.
        features: ``(R, F)``.
        lengths: ``(B,)``, points of each scene; none is empty.
        voxel_size: metres.
        random: the point that stands for a voxel is drawn by PyTorch's global generator; else it is the
            first.

    Raises:
        DataError: points are not finite, or voxels too small for them.

    Example:
        >>> points = torch.tensor([[0.0, 0.0, 0.0], [0.05, 0.0, 0.0], [1.0, 0.0, 0.0]])
        >>> found = voxel_batch(points, torch.ones(3, 6), torch.tensor([3]), 0.1)
        >>> found.coords.tolist(), found.voxel.tolist(), found.features.shape
        ([[0, 0, 0], [10, 0, 0]], [0, 0, 1], torch.Size([2, 6]))
    """
    counts = lengths.tolist()
    generator = torch.default_generator if random else None
    scenes = [
        voxelize_points(*pair, voxel_size, generator)
        for pair in zip(points.split(counts), features.split(counts))
    ]
    coords, scene, chosen = join_scenes(scenes)
    starts = [0, *torch.tensor([len(part) for part in scenes]).cumsum(0).tolist()]
    voxel = torch.cat([part.inverse + start for part, start in zip(scenes, starts)])
    grid = torch.cat([part.sample_coords for part in scenes])
    return VoxelBatch(coords, scene, chosen, voxel, grid, scene[voxel])

"""From a cloud of points to voxels with features, as masked scene modelling prepares scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops.voxels import unique_voxels, voxel_coordinates
from dense3d.structures.point_cloud import PointCloud

CHANNELS = {"color": 3, "normal": 3}


@dataclass(frozen=True, eq=False)
class VoxelScene:
    """Occupied voxels of a cloud, in the order of x, y, z; one of its points stands for each.

    Attributes:
        coords: ``(V, 3)`` int64, voxel indices, the least 0 along each axis.
        features: ``(V, C)`` float32 of the points that stand for the voxels: colour in -1 .. 1, then normal.
        chosen: ``(V,)`` int64, these points.
        sample_coords: ``(N, 3)`` int64, the voxel of every point.
        inverse: ``(N,)`` int64, the same as a row of ``coords``.
        points: ``(N, 3)`` float32 metres, all points moved to the middle of the scene and its floor.
        missing: of colour and normal, what the cloud has not; zeros take its place.
    """

    coords: Tensor
    features: Tensor
    chosen: Tensor
    sample_coords: Tensor
    inverse: Tensor
    points: Tensor
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.coords)


def voxelize_scene(
    cloud: PointCloud,
    voxel_size: float = 0.02,
    generator: torch.Generator | None = None,
    features: Sequence[str] = tuple(CHANNELS),
) -> VoxelScene:
    """The voxels of a cloud.

    The cloud is moved such that the middle of its x and y ranges and its least z become 0, and voxels are
    counted from its least corner. Colours in 0 .. 1 become -1 .. 1; normals that are not finite become 0. A
    colour or normal that the cloud has not is 0 everywhere: mid-grey, and no direction.

    Args:
        cloud: all coordinates finite, see :meth:`~dense3d.structures.PointCloud.finite`.
        voxel_size: edge of a voxel, metres.
        generator: draws the point that stands for each voxel, all with the same probability (the released
            code's draw slightly favours some); the first one unless given.
        features: of ``"color"`` and ``"normal"``, in this order; none gives no channels.

    Raises:
        DataError: no point, a coordinate or colour that is not finite, a voxel size that is not positive or
            too small for the extent, or an unknown feature.

    Example:
        >>> cloud = PointCloud([[5.0, 0, 1], [5.005, 0, 1], [5.1, 0, 1]], colors=np.ones((3, 3)))
        >>> scene = voxelize_scene(cloud)
        >>> scene.coords.tolist(), scene.inverse.tolist(), scene.features[0].tolist(), scene.missing
        ([[0, 0, 0], [5, 0, 0]], [0, 0, 1], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], ('normal',))
    """
    name = cloud.name or "the cloud"
    if not len(cloud):
        raise DataError(f"{name} has no point: there are no voxels to make")
    if not np.isfinite(cloud.points).all():
        count = int((~np.isfinite(cloud.points)).any(axis=1).sum())
        raise DataError(f"{name}: {count} points are not finite: drop them by PointCloud.finite()")
    values, missing = _features(cloud, features, name)
    return voxelize_points(torch.from_numpy(cloud.points), values, voxel_size, generator, missing)


def voxelize_points(
    points: Tensor,
    features: Tensor,
    voxel_size: float = 0.02,
    generator: torch.Generator | None = None,
    missing: tuple[str, ...] = (),
) -> VoxelScene:
    """:func:`voxelize_scene` of points ``(N, 3)`` and their features ``(N, C)``, at least one point.

    Example:
        >>> voxelize_points(torch.tensor([[0.0, 0, 0], [1, 1, 1]]), torch.zeros(2, 6)).coords.tolist()
        [[0, 0, 0], [50, 50, 50]]
    """
    low, high = points.amin(dim=0), points.amax(dim=0)
    middle = (low + high) / 2
    points = points - torch.cat([middle[:2], low[2:]])
    indices = voxel_coordinates(points.double(), voxel_size)
    indices = indices - indices.amin(dim=0)
    voxels = unique_voxels(indices)
    chosen = voxels.representatives(generator)
    return VoxelScene(voxels.coordinates, features[chosen], chosen, indices, voxels.inverse, points, missing)


def join_scenes(scenes: Sequence[VoxelScene]) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes one after the other as a batch: coords ``(V, 3)``, scene ``(V,)`` and features ``(V, C)``.

    Example:
        >>> one = voxelize_scene(PointCloud([[0.0, 0, 0], [1, 0, 0]]))
        >>> coords, scene, features = join_scenes([one, one])
        >>> scene.tolist(), features.shape
        ([0, 0, 1, 1], torch.Size([4, 6]))
    """
    if not scenes:
        raise DataError("a batch has at least one scene")
    sizes = torch.tensor([len(scene) for scene in scenes], device=scenes[0].coords.device)
    number = torch.arange(len(scenes), device=sizes.device).repeat_interleave(sizes)
    return (
        torch.cat([scene.coords for scene in scenes]),
        number,
        torch.cat([scene.features for scene in scenes]),
    )


def _features(cloud: PointCloud, names: Sequence[str], source: str) -> tuple[Tensor, tuple[str, ...]]:
    """``(N, C)`` of all points, and which features are missing."""
    columns, missing = [np.zeros((len(cloud), 0), np.float32)], []
    for name in names:
        if name not in CHANNELS:
            raise DataError(f"features of voxels are {' and '.join(CHANNELS)}, not {name!r}")
        values = cloud.colors if name == "color" else cloud.normals
        if values is None:
            missing.append(name)
            columns.append(np.zeros((len(cloud), CHANNELS[name]), np.float32))
        elif name == "color":
            columns.append(2 * values - 1)
        else:
            columns.append(np.nan_to_num(values, posinf=0, neginf=0))
    joined = np.concatenate(columns, axis=1)
    if not np.isfinite(joined).all():
        raise DataError(f"{source}: colours are not finite: drop such points by PointCloud.finite()")
    return torch.from_numpy(joined), tuple(missing)

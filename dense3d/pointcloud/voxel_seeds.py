"""A network on sparse voxels as the backbone of detectors: its maps at some points."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import farthest_point_sample, gather_points
from dense3d.pointcloud.set_abstraction import PointFeatures, PointLayers
from dense3d.pointcloud.sparse import build_pyramid, sample_levels
from dense3d.pointcloud.voxel_batch import voxel_batch
from dense3d.registry import MODELS


@MODELS.register_module()
class VoxelSeeds(BaseModule):
    """Farthest points of a cloud with the features of a network of voxels, from all of its levels.

    Args:
        network: of the registry, such as :class:`dense3d.pointcloud.hunet.HUNet`; its ``init_cfg`` may name
            pre-trained weights.
        num_seeds: points.
        voxel_size: metres.
        channels: of the layer behind the joined levels.
        init_cfg: see mmengine's ``BaseModule``.

    Attributes:
        out_channels: of the features.

    Raises:
        DataError: while it runs, clouds without features or with fewer points than seeds.
    """

    def __init__(
        self,
        network: dict[str, Any],
        num_seeds: int = 1024,
        voxel_size: float = 0.02,
        channels: int = 256,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.network = MODELS.build(network)
        self.num_seeds, self.voxel_size, self.out_channels = num_seeds, voxel_size, channels
        self.layer = PointLayers((sum(self.network.out_channels), channels))

    def seeds(
        self, points: Tensor, features: Tensor | None = None, lengths: Tensor | None = None
    ) -> PointFeatures:
        """Points ``(B, S, 3)`` of clouds ``(B, N, 3)`` with features ``(B, S, channels)``.

        Args:
            points: ``(B, N, 3)`` metres.
            features: ``(B, N, C)``, as many as the network takes; None if it takes none.
            lengths: ``(B,)``, how many first points of each cloud count.
        """
        if features is None and getattr(self.network, "in_channels", None) == 0:
            features = points.new_zeros(*points.shape[:2], 0)  # coordinates alone are read
        if features is None:
            raise DataError(
                "networks of voxels read features of points: name some in the features of PackPointInputs, "
                "such as ('height',)"
            )
        if lengths is None:
            lengths = torch.full((len(points),), points.shape[1], device=points.device)
        indices = farthest_point_sample(points, self.num_seeds, skip_origin=True, lengths=lengths)
        counted = torch.arange(points.shape[1], device=points.device) < lengths[:, None]
        voxels = voxel_batch(points[counted], features[counted], lengths, self.voxel_size, self.training)
        pyramid = build_pyramid(voxels.coords, voxels.scene, self.network.depth)
        maps = self.network(pyramid, voxels.features)
        rows = (indices + (lengths.cumsum(0) - lengths)[:, None]).flatten()
        levels = self.network.out_levels
        found = sample_levels(pyramid, maps, voxels.grid[rows], voxels.point_scene[rows], levels=levels)
        found = self.layer(found).unflatten(0, indices.shape)
        return PointFeatures(gather_points(points, indices), found, indices)

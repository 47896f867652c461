"""PointNet++ as the backbone of detectors.

Qi et al., "PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space", NeurIPS 2017;
sizes are those of VoteNet (facebookresearch/votenet).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.ops import interpolate_nearest
from dense3d.pointcloud.pretrained import checkpoint_of
from dense3d.pointcloud.set_abstraction import PointFeatures, PointLayers, SetAbstraction
from dense3d.registry import MODELS


@MODELS.register_module()
class PointNet2(BaseModule):
    """Set abstractions to ever fewer points, then features brought back to some of the levels.

    Each propagation goes one level back: a point gets the mean of its three nearest points' features,
    weighted by inverse distances, beside its own. Without ``propagation`` the last level is the result; one
    level without it is 3DETR's pre-encoder.

    Args:
        in_channels: of the features beside coordinates, such as 1 for the height and 3 for colours.
        num_points, radii, num_neighbours, channels: of each level's
            :class:`~dense3d.pointcloud.set_abstraction.SetAbstraction`.
        propagation: channels of the layers of each step back.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` starts from the backbone in a detector's file,
            ours or an official one.

    Attributes:
        out_channels: of the features.

    Shape:
        ``(B, N, 3)`` and ``(B, N, in_channels)`` to seeds: 1024 of 256 channels with the defaults.

    Raises:
        ConfigError: the arguments of the levels differ in number, or there are not more levels than steps
            back.

    Example:
        >>> network = PointNet2(0, (16, 8), (0.4, 0.8), (4, 4), ((8,), (12,)), propagation=((10,),))
        >>> seeds = network(torch.rand(2, 64, 3))
        >>> seeds.points.shape, seeds.features.shape
        (torch.Size([2, 16, 3]), torch.Size([2, 16, 10]))
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_points: Sequence[int] = (2048, 1024, 512, 256),
        radii: Sequence[float] = (0.2, 0.4, 0.8, 1.2),
        num_neighbours: Sequence[int] = (64, 32, 16, 16),
        channels: Sequence[Sequence[int]] = (
            (64, 64, 128),
            (128, 128, 256),
            (128, 128, 256),
            (128, 128, 256),
        ),
        propagation: Sequence[Sequence[int]] = ((256, 256), (256, 256)),
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len({len(num_points), len(radii), len(num_neighbours), len(channels)}) > 1:
            raise ConfigError(
                "num_points, radii, num_neighbours and channels of a PointNet2 have an entry for each level, "
                f"not {len(num_points)}, {len(radii)}, {len(num_neighbours)} and {len(channels)}"
            )
        if not len(propagation) < len(channels):
            raise ConfigError(
                f"a PointNet2 of {len(channels)} levels can go back {len(channels) - 1} at most, and "
                f"propagation has {len(propagation)} entries"
            )
        widths = [in_channels, *(level[-1] for level in channels)]
        self.abstractions = nn.ModuleList(
            SetAbstraction(number, radius, k, width, layers)
            for number, radius, k, width, layers in zip(num_points, radii, num_neighbours, widths, channels)
        )
        self.propagations, width = nn.ModuleList(), widths[-1]
        for step, layers in enumerate(propagation):
            self.propagations.append(PointLayers((width + widths[-2 - step], *layers)))
            width = layers[-1]
        self.out_channels = width

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``, if there is one."""
        if self.init_cfg and not self.is_init:
            from dense3d.checkpoints.votenet import backbone_weights
            from dense3d.engine.checkpoint import load_checkpoint, load_into

            path = checkpoint_of(self.init_cfg, type(self).__name__)
            load_into(self, backbone_weights(load_checkpoint(path)), source=path)
        self._is_init = True

    def levels(
        self, points: Tensor, features: Tensor | None = None, lengths: Tensor | None = None
    ) -> list[PointFeatures]:
        """Points and features of each level; indices are places in the level before."""
        found = []
        for abstraction in self.abstractions:
            found.append(abstraction(points, features, lengths=lengths))
            points, features, lengths = found[-1].points, found[-1].features, None
        return found

    def forward(
        self, points: Tensor, features: Tensor | None = None, lengths: Tensor | None = None
    ) -> PointFeatures:
        """Seeds: points of the clouds with their features.

        Args:
            points: ``(B, N, 3)`` metres.
            features: ``(B, N, in_channels)``.
            lengths: ``(B,)``, how many first points of each cloud count.

        Raises:
            DataError: a cloud has fewer points than the first level chooses, or other features.
        """
        levels = self.levels(points, features, lengths)
        fine = levels[: len(levels) - len(self.propagations)]
        found, places = levels[-1], levels[-1]
        for step, layers in enumerate(self.propagations):
            places = levels[-2 - step]
            near = interpolate_nearest(places.points, found.points, found.features, k=3, power=1, eps=1e-8)
            joined = torch.cat([near, places.features], dim=2)  # (B, S, C)
            brought = layers(joined.flatten(0, 1)).unflatten(0, joined.shape[:2])
            found = PointFeatures(places.points, brought, places.indices)
        indices = fine[0].indices
        for level in fine[1:]:
            indices = indices.gather(1, level.indices)
        return PointFeatures(found.points, found.features, indices)

    seeds = forward

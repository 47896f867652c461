"""Detectors in clouds of the suite ``models``: their batches, and the official steps composed plainly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops import ball_query_reference, interpolate_nearest_reference
from dense3d.pointcloud.set_abstraction import PointFeatures
from dense3d.structures import PointDataSample

BOXES = 12  # in each room
ROOM = (6.0, 5.0, 2.6)  # metres


def room_batch(points: int, with_height: bool, turned: bool, num_classes: int) -> Callable:
    """A function that makes batches of rooms: points on walls and floor and in boxes, always the same.

    Args:
        points: of each room.
        with_height: give the height as a feature.
        turned: whether boxes have a yaw.
        num_classes: of the boxes.
    """

    def batch(
        number: int, _size: tuple[int, int], device: torch.device
    ) -> tuple[dict[str, Tensor | None], list[PointDataSample]]:
        random = torch.Generator().manual_seed(0)
        clouds, samples = [], []
        for _ in range(number):
            boxes = torch.rand(BOXES, 7, generator=random) * torch.tensor([*ROOM, 1.0, 1.0, 1.0, 6.0])
            boxes = boxes + torch.tensor([0.0, 0.0, 0.0, 0.3, 0.3, 0.3, -3.0])
            boxes[:, 6] *= float(turned)
            owner = torch.randint(0, BOXES, (points // 2,), generator=random)
            inside = torch.rand(points // 2, 3, generator=random) - 0.5
            inside = boxes[owner, :3] + 0.7 * inside * boxes[owner, 3:6]
            shell = torch.rand(points - points // 2, 3, generator=random)
            shell.scatter_(1, torch.randint(0, 3, (len(shell), 1), generator=random), 0.0)
            clouds.append(torch.cat([inside, shell * torch.tensor(ROOM)]))
            labels = torch.randint(0, num_classes, (BOXES,), generator=random)
            samples.append(PointDataSample(gt_boxes=boxes, gt_box_labels=labels).to(device))
        stacked = torch.stack(clouds).to(device)
        features = stacked[..., 2:] if with_height else None
        return dict(points=stacked, features=features, lengths=None), samples

    return batch


@contextlib.contextmanager
def official_steps() -> Iterator[None]:
    """Set abstraction and propagation as the official modules say it, without their CUDA extensions.

    A loop over the centres for farthest points, all distances for neighbourhoods, and every neighbour with
    its features through all layers.
    """
    from dense3d.benchmarks.point_models import _farthest
    from dense3d.detection3d.threedetr import detector
    from dense3d.detection3d.votenet import proposals
    from dense3d.pointcloud import pointnet2, set_abstraction

    with (
        mock.patch.object(set_abstraction, "farthest_point_sample", _farthest),
        mock.patch.object(proposals, "farthest_point_sample", _farthest),
        mock.patch.object(detector, "farthest_point_sample", _farthest),
        mock.patch.object(pointnet2, "interpolate_nearest", interpolate_nearest_reference),
        mock.patch.object(set_abstraction.SetAbstraction, "forward", _abstract),
    ):
        yield


def _abstract(
    self,
    points: Tensor,
    features: Tensor | None = None,
    centre_indices: Tensor | None = None,
    lengths: Tensor | None = None,
) -> PointFeatures:
    from dense3d.pointcloud import set_abstraction

    if centre_indices is None:
        centre_indices = set_abstraction.farthest_point_sample(points, self.num_points, skip_origin=True)
    centres = points.gather(1, centre_indices[..., None].expand(-1, -1, 3))
    neighbours = ball_query_reference(centres, points, self.radius, self.num_neighbours)  # (B, S, k)
    joined = (_taken(points, neighbours) - centres[:, :, None]) / self.radius
    if features is not None:
        joined = torch.cat([joined, _taken(features, neighbours)], dim=3)
    hidden = joined.permute(0, 3, 1, 2)  # (B, C, S, k)
    for linear, norm, activation in self.layers:
        hidden = F.conv2d(hidden, linear.weight[..., None, None])
        statistics = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        hidden = activation(F.batch_norm(hidden, *statistics, norm.training, norm.momentum, norm.eps))
    return PointFeatures(centres, hidden.max(dim=3).values.transpose(1, 2), centre_indices)


def _taken(values: Tensor, indices: Tensor) -> Tensor:
    """``(B, N, C)`` by ``(B, S, k)``."""
    flat = indices.flatten(1)[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, flat).unflatten(1, indices.shape[1:])

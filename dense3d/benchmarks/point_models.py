"""Point networks of the suite ``models``: their batches, and the official steps composed plainly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.structures import PointDataSample

POINTS = 1024  # of each cloud, as Point-MAE is pre-trained


def cloud_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, list[PointDataSample]]:
    """Points ``(B, 1024, 3)`` on spheres of several radii, the same every time.

    Args:
        number: B.
        size: of images, which clouds have not.
        device: of the points.
    """
    random = torch.Generator().manual_seed(0)
    points = F.normalize(torch.randn(number, POINTS, 3, generator=random), dim=2)
    points = points * torch.rand(number, 1, 3, generator=random).clamp(min=0.3)
    return points.to(device), [PointDataSample() for _ in range(number)]


@contextlib.contextmanager
def official_steps() -> Iterator[None]:
    """Point-MAE as its official modules say it, without their CUDA extensions.

    A loop over the centres for farthest points, all distances and ``topk`` for neighbours, all distances for
    the loss, and every patch, hidden or not, joined with its maximum through all layers of the embedding.
    """
    from dense3d.pointcloud import grouping
    from dense3d.pointcloud.patch_embedding import PatchEmbedding
    from dense3d.pretraining.point_mae import model

    with (
        mock.patch.object(grouping, "farthest_point_sample", _farthest),
        mock.patch.object(grouping, "knn", _nearest),
        mock.patch.object(model, "chamfer_loss", _chamfer),
        mock.patch.object(PatchEmbedding, "forward", _embed),
    ):
        yield


def _farthest(
    points: Tensor, number: int, skip_origin: bool = False, lengths: Tensor | None = None
) -> Tensor:
    chosen = torch.zeros(points.shape[0], number, dtype=torch.long, device=points.device)
    distance = torch.full(points.shape[:2], 1e10, device=points.device)
    last = torch.zeros(len(points), dtype=torch.long, device=points.device)
    rows = torch.arange(len(points), device=points.device)
    near_origin = (points**2).sum(dim=2) <= 1e-3
    for i in range(number):
        chosen[:, i] = last
        distance = torch.minimum(distance, ((points - points[rows, last][:, None]) ** 2).sum(dim=2))
        allowed = distance.masked_fill(near_origin, -1) if skip_origin else distance
        last = allowed.argmax(dim=1)
    return chosen


def _nearest(queries: Tensor, points: Tensor, k: int, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return torch.cdist(queries, points).topk(k, dim=2, largest=False)


def _chamfer(x: Tensor, y: Tensor, norm: int = 2, **_) -> Tensor:
    squared = ((x[:, :, None] - y[:, None]) ** 2).sum(dim=3)
    there, back = squared.min(dim=2).values, squared.min(dim=1).values
    return there.mean() + back.mean() if norm == 2 else (there.sqrt().mean() + back.sqrt().mean()) / 2


def _embed(self, patches: Tensor, chosen: Tensor | None = None) -> Tensor:
    batch, groups, size, _ = patches.shape
    points = patches.flatten(0, 1).transpose(1, 2)  # (B * G, 3, K)
    points = _convolve(self.linear1, points)
    points = _convolve(self.linear2, F.relu(self.norm1(points)))
    whole = points.max(dim=2, keepdim=True).values
    joined = torch.cat([whole.expand(-1, -1, size), points], dim=1)
    hidden = F.relu(self.norm3(_convolve(self.linear3, joined)))
    tokens = _convolve(self.linear4, hidden).max(dim=2).values.view(batch, groups, -1)
    return tokens if chosen is None else tokens[chosen].view(batch, -1, tokens.shape[2])


def _convolve(layer: torch.nn.Linear, points: Tensor) -> Tensor:
    return F.conv1d(points, layer.weight[..., None], layer.bias)

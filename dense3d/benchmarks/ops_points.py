"""Cases of the suite ``ops`` for clouds of points, beside straightforward torch and scipy's KD-tree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d import ops
from dense3d.benchmarks.timing import OURS, Case, Workload


def make_clouds(batch: int, number: int, seed: int = 0) -> Tensor:
    """``(B, N, 3)``: points on six random ellipsoids, the kind of surface that objects have."""
    random = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(batch, number, 3, generator=random), dim=-1)
    part = torch.randint(6, (batch, number, 1), generator=random).expand(-1, -1, 3)
    radii = 0.1 + 0.4 * torch.rand(batch, 6, 3, generator=random)
    centres = torch.rand(batch, 6, 3, generator=random) - 0.5
    return centres.gather(1, part) + radii.gather(1, part) * directions


def torch_farthest_points(points: Tensor, samples: int) -> Tensor:
    """The loop over samples as it is usually written."""
    chosen = torch.zeros(len(points), samples, dtype=torch.long, device=points.device)
    nearest = torch.full(points.shape[:2], 1e10, device=points.device)
    latest = torch.zeros(len(points), dtype=torch.long, device=points.device)
    rows = torch.arange(len(points), device=points.device)
    for sample in range(samples):
        chosen[:, sample] = latest
        distance = ((points - points[rows, latest][:, None]) ** 2).sum(-1)
        nearest = torch.minimum(nearest, distance)
        latest = nearest.argmax(-1)
    return chosen


def torch_knn(queries: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All distances, and the k least of each row; cloud by cloud, which bounds the memory."""
    found = [torch.cdist(*pair).topk(k, largest=False) for pair in zip(queries, points)]
    return torch.stack([f.values for f in found]).square(), torch.stack([f.indices for f in found])


def scipy_knn(queries: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """A KD-tree of each cloud."""
    from scipy.spatial import KDTree

    found = [KDTree(p.numpy()).query(q.numpy(), k) for q, p in zip(queries, points)]
    distances = torch.from_numpy(np.stack([f[0] for f in found])).float().square()
    return distances, torch.from_numpy(np.stack([f[1] for f in found]))


def torch_ball_query(queries: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """As PointNet++ is usually written in torch: all distances, and a sort of indices."""
    number = points.shape[1]
    index = torch.arange(number, device=points.device).expand(*queries.shape[:2], number).clone()
    index[torch.cdist(queries, points) >= radius] = number
    index = index.sort(-1).values[..., :k]
    first = index[..., :1].expand_as(index)
    return torch.where(index == number, first, index)


def torch_chamfer(x: Tensor, y: Tensor) -> Tensor:
    """The sum of both means, from the table of all distances."""
    distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    return distances.amin(2).mean() + distances.amin(1).mean()


def farthest_point_sample(device: torch.device, batch: int, number: int, samples: int) -> Workload:
    contenders = {
        OURS: lambda points: ops.farthest_point_sample(points, samples),
        "torch, loop": lambda points: torch_farthest_points(points, samples),
    }
    return Workload((make_clouds(batch, number).to(device),), contenders)


def knn(device: torch.device, batch: int, number: int, k: int) -> Workload:
    cloud = make_clouds(batch, number).to(device)
    contenders: dict[str, Callable] = {
        OURS: lambda points: ops.knn(points, points, k)[0],
        "torch, cdist and topk": lambda points: torch_knn(points, points, k)[0],
    }
    if device.type == "cpu":
        contenders["scipy, KDTree"] = lambda points: scipy_knn(points, points, k)[0]
    return Workload((cloud,), contenders)


def ball_query(
    device: torch.device, batch: int, number: int, queries: int, radius: float, k: int
) -> Workload:
    cloud = make_clouds(batch, number).to(device)
    contenders = {
        OURS: lambda centres, points: ops.ball_query(centres, points, radius, k),
        "torch, cdist and sort": lambda centres, points: torch_ball_query(centres, points, radius, k),
    }
    return Workload((cloud[:, :queries], cloud), contenders)


def chamfer_distance(device: torch.device, batch: int, number: int) -> Workload:
    clouds = make_clouds(batch, number), make_clouds(batch, number, seed=1)
    contenders = {OURS: ops.chamfer_loss, "torch, cdist": torch_chamfer}
    return Workload(tuple(cloud.to(device) for cloud in clouds), contenders, leaves=(0, 1))


def interpolate_nearest(
    device: torch.device, batch: int, number: int, queries: int, channels: int
) -> Workload:
    cloud = make_clouds(batch, queries).to(device)
    features = torch.randn(batch, number, channels, generator=torch.Generator().manual_seed(1)).to(device)

    def peer(queries: Tensor, points: Tensor, features: Tensor) -> Tensor:
        squared, index = torch_knn(queries, points, 3)
        inverse = 1 / (squared + 1e-8)
        weights = inverse / inverse.sum(-1, keepdim=True)
        rows = torch.arange(len(points), device=points.device)[:, None, None]
        return (features[rows, index] * weights[..., None]).sum(2)

    contenders = {OURS: ops.interpolate_nearest, "torch, gathered": peer}
    return Workload((cloud, cloud[:, ::2][:, :number].roll(1, 0) + 0.01, features), contenders, leaves=(2,))


def gather_points(device: torch.device, batch: int, number: int, channels: int, k: int) -> Workload:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(batch, number, channels, generator=random)
    indices = torch.randint(number, (batch, number, k), generator=random)

    def peer(features: Tensor, indices: Tensor) -> Tensor:
        return features[torch.arange(len(features), device=features.device)[:, None, None], indices]

    contenders = {OURS: ops.gather_points, "torch, indexing": peer}
    return Workload((features.to(device), indices.to(device)), contenders, leaves=(0,))


def group_points(device: torch.device, batch: int, number: int, k: int) -> Workload:
    points = make_clouds(batch, number)
    indices = torch.randint(number, (batch, number, k), generator=torch.Generator().manual_seed(0))

    def peer(points: Tensor, centres: Tensor, indices: Tensor) -> Tensor:
        rows = torch.arange(len(points), device=points.device)[:, None, None]
        return points[rows, indices] - centres[:, :, None]

    inputs = tuple(tensor.to(device) for tensor in (points, points.clone(), indices))
    return Workload(inputs, {OURS: ops.group_points, "torch, indexing": peer}, leaves=(0, 1))


def voxelize(device: torch.device, number: int) -> Workload:
    contenders = {
        OURS: lambda points: ops.voxelize(points, 0.02).inverse,
        "torch, unique rows": lambda points: ops.voxelize_reference(points, 0.02).inverse,
    }
    return Workload((make_clouds(1, number)[0].to(device),), contenders)


def voxel_hash(device: torch.device, number: int) -> Workload:
    """The 27 neighbours of each voxel; the peer searches the sorted keys for each offset."""
    voxels = ops.voxelize(make_clouds(1, number)[0].to(device), 0.02).coordinates
    table = ops.VoxelHash(voxels)
    contenders = {
        OURS: lambda _: table.neighbours(),
        "torch, searchsorted": lambda _: table.neighbours(backend="search"),
    }
    return Workload((voxels,), contenders)


def _curve(code: Callable, reference: Callable) -> Callable[..., Workload]:
    def build(device: torch.device, number: int) -> Workload:
        voxels = torch.randint(1 << 16, (number, 3), generator=torch.Generator().manual_seed(0)).to(device)
        return Workload((voxels,), {OURS: code, "torch, bit by bit": reference})

    return build


_CLOUDS, _TINY = {"8 clouds, 2,048 points": {"batch": 8, "number": 2048}}, {"batch": 2, "number": 40}


def _with(sizes: dict[str, dict], **more) -> dict[str, dict]:
    return {words: {**arguments, **more} for words, arguments in sizes.items()}


_VOXELS, _TINY_VOXELS = {"100,000 points": {"number": 100_000}}, {"number": 50}
CASES = [
    Case(
        "farthest_point_sample", farthest_point_sample, _with(_CLOUDS, samples=256), {**_TINY, "samples": 9}
    ),
    Case("knn", knn, _with(_CLOUDS, k=32), {**_TINY, "k": 5}),
    Case(
        "ball_query",
        ball_query,
        _with(_CLOUDS, queries=512, radius=0.2, k=32),
        {**_TINY, "queries": 9, "radius": 0.3, "k": 4},
    ),
    Case("chamfer_distance", chamfer_distance, _CLOUDS, _TINY),
    Case(
        "interpolate_nearest",
        interpolate_nearest,
        {
            "8 clouds, 2,048 queries, 128 points, 1,152 channels": dict(
                batch=8, number=128, queries=2048, channels=1152
            )
        },
        {"batch": 2, "number": 7, "queries": 20, "channels": 3},
    ),
    Case("gather_points", gather_points, _with(_CLOUDS, channels=64, k=16), {**_TINY, "channels": 3, "k": 4}),
    Case("group_points", group_points, _with(_CLOUDS, k=32), {**_TINY, "k": 4}),
    Case("voxelize", voxelize, _VOXELS, _TINY_VOXELS),
    Case("VoxelHash", voxel_hash, _VOXELS, _TINY_VOXELS),
    Case("morton_code", _curve(ops.morton_code, ops.morton_code_reference), _VOXELS, _TINY_VOXELS),
    Case("hilbert_code", _curve(ops.hilbert_code, ops.hilbert_code_reference), _VOXELS, _TINY_VOXELS),
]

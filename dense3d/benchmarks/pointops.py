"""Suite ``pointops``: clouds of points beside Open3D, scipy's KD-tree, fpsample and straightforward torch.

Sizes are those of the literature: 8,192 points, batches of 32. Some peers give another result for the same
purpose: fpsample's bucket trees choose another order of points, Open3D one set in the order of the file.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.benchmarks import ops_points
from dense3d.benchmarks.ops_points import make_clouds
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.errors import MissingDependencyError
from dense3d.optional import require


def optional(package: str, contenders: dict[str, Callable]) -> dict[str, Callable]:
    """``contenders`` where a package is installed; elsewhere none, and a line that says so."""
    try:
        require(package, "a peer of this benchmark")
    except MissingDependencyError as error:
        print(f"left out: {', '.join(contenders)}: {error}")
        return {}
    return contenders


def farthest_point_sample(device: torch.device, batch: int, number: int, samples: int) -> Workload:
    from dense3d import ops

    contenders = {
        OURS: lambda points: ops.farthest_point_sample(points, samples),
        "dense3d, official rule": lambda points: ops.farthest_point_sample(points, samples, skip_origin=True),
        "torch, loop": lambda points: ops_points.torch_farthest_points(points, samples),
    }
    if device.type == "cpu":
        contenders |= optional("fpsample", fpsample_contenders(samples))
        contenders |= optional("open3d", {"open3d": lambda points: open3d_farthest_points(points, samples)})
    return Workload((make_clouds(batch, number).to(device),), contenders)


def fpsample_contenders(samples: int) -> dict[str, Callable]:
    """All points looked at, and two kinds of bucket trees; cloud by cloud, as the package takes them."""

    def of(choose: Callable[..., np.ndarray]) -> Callable[[Tensor], Tensor]:
        def call(points: Tensor) -> Tensor:
            return torch.from_numpy(np.stack([choose(cloud.numpy()).astype(np.int64) for cloud in points]))

        return call

    def plain(cloud: np.ndarray) -> np.ndarray:
        return require("fpsample").fps_sampling(cloud, samples, start_idx=0)

    def tree(cloud: np.ndarray) -> np.ndarray:
        return require("fpsample").bucket_fps_kdtree_sampling(cloud, samples, start_idx=0)

    def line(cloud: np.ndarray) -> np.ndarray:
        return require("fpsample").bucket_fps_kdline_sampling(cloud, samples, h=5, start_idx=0)

    return {
        "fpsample, all points": of(plain),
        "fpsample, KD-tree, another order": of(tree),
        "fpsample, buckets, another order": of(line),
    }


def open3d_farthest_points(points: Tensor, samples: int) -> Tensor:
    """Chosen indices in the order of the cloud, which travel as normals."""
    open3d = require("open3d")
    chosen = []
    for cloud in points.double().numpy():
        one = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud))
        index = np.arange(len(cloud), dtype=np.float64)[:, None].repeat(3, 1)
        one.normals = open3d.utility.Vector3dVector(index)
        chosen.append(np.asarray(one.farthest_point_down_sample(samples).normals)[:, 0].astype(np.int64))
    return torch.from_numpy(np.stack(chosen))


def knn(device: torch.device, batch: int, number: int, k: int) -> Workload:
    workload = ops_points.knn(device, batch, number, k)
    if device.type == "cpu":
        peer = {"open3d": lambda points: open3d_knn(points, points, k)}
        workload.contenders.update(optional("open3d", peer))
    return workload


def open3d_knn(queries: Tensor, points: Tensor, k: int) -> Tensor:
    """Squared distances ``(B, M, k)`` by the package's search on tensors."""
    core = require("open3d").core
    found = []
    for query, cloud in zip(queries, points):
        search = core.nns.NearestNeighborSearch(core.Tensor.from_numpy(cloud.contiguous().numpy()))
        search.knn_index()
        squared = search.knn_search(core.Tensor.from_numpy(query.contiguous().numpy()), k)[1]
        found.append(squared.numpy())
    return torch.from_numpy(np.stack(found))


def chamfer_distance(device: torch.device, batch: int, number: int) -> Workload:
    """Training compares many small clouds; evaluation few large ones, where scipy and Open3D are at home."""
    workload = ops_points.chamfer_distance(device, batch, number)
    if device.type == "cpu" and number > 1000:
        workload.contenders["scipy, KDTree, no gradient"] = scipy_chamfer
        peer = {"open3d, no gradient": open3d_chamfer}
        workload.contenders.update(optional("open3d", peer))
        return Workload(workload.inputs, workload.contenders)
    return workload


def scipy_chamfer(x: Tensor, y: Tensor) -> Tensor:
    there, back = ops_points.scipy_knn(x, y, 1)[0], ops_points.scipy_knn(y, x, 1)[0]
    return there.mean() + back.mean()


def open3d_chamfer(x: Tensor, y: Tensor) -> Tensor:
    return open3d_knn(x, y, 1).mean() + open3d_knn(y, x, 1).mean()


_CLOUDS, _TINY = {"batch": 32, "number": 8192}, {"batch": 2, "number": 40}
CASES = [
    Case(
        "farthest_point_sample",
        farthest_point_sample,
        {
            "32 clouds, 512 of 8,192 points": {**_CLOUDS, "samples": 512},
            "32 clouds, 64 of 1,024 points": {"batch": 32, "number": 1024, "samples": 64},
        },
        {**_TINY, "samples": 9},
    ),
    Case("knn", knn, {"32 clouds, 8,192 points, 32 neighbours": {**_CLOUDS, "k": 32}}, {**_TINY, "k": 5}),
    Case(
        "ball_query",
        ops_points.ball_query,
        {
            "32 clouds, 512 centres, 8,192 points, 32 places": {
                **_CLOUDS,
                "queries": 512,
                "radius": 0.1,
                "k": 32,
            }
        },
        {**_TINY, "queries": 9, "radius": 0.3, "k": 4},
    ),
    Case(
        "chamfer_distance",
        chamfer_distance,
        {
            "4,864 patches, 32 points": {"batch": 4864, "number": 32},
            "4 clouds, 8,192 points": {"batch": 4, "number": 8192},
        },
        _TINY,
    ),
    Case(
        "interpolate_nearest",
        ops_points.interpolate_nearest,
        {
            "16 clouds, 2,048 queries, 128 points, 1,152 channels": {
                "batch": 16,
                "number": 128,
                "queries": 2048,
                "channels": 1152,
            }
        },
        {"batch": 2, "number": 7, "queries": 20, "channels": 3},
    ),
    Case("voxelize", ops_points.voxelize, {"1,000,000 points": {"number": 1_000_000}}, {"number": 50}),
    Case("VoxelHash", ops_points.voxel_hash, {"1,000,000 points": {"number": 1_000_000}}, {"number": 50}),
]

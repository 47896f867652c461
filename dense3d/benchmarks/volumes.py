"""Suite ``volumes``: what a click of the transfer-function tool costs, beside straightforward formulations.

The peers compute the same numbers from the formulas as they stand: every annotation of a class anew with one
``einsum``, distances of all points to all annotations, torch's quantile, and a bilateral grid whose cells are
found by ``numpy.unique``, as the official code does. Pictures are drawn beside VTK.
"""

from __future__ import annotations

from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.benchmarks.ops_rays import CASES as RAYS
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.benchmarks.volume_histograms import CASES as HISTOGRAMS
from dense3d.benchmarks.volume_pictures import CASES as PICTURES
from dense3d.structures.volume import Volume
from dense3d.transfer_function.bilateral import DIMENSIONS, YUV, YUV_OFFSET, BilateralGrid, GridSizes
from dense3d.transfer_function.prompts import Prompt
from dense3d.transfer_function.similarity import (
    SimilarityOptions,
    proximity_weight,
    quantile,
    relative_coordinates,
    scaled,
)
from dense3d.transfer_function.similarity_classifier import SimilarityClassifier


def similarity_click(device: torch.device, cells: int, channels: int, annotations: int) -> Workload:
    """The next click of a class that has some; each call clicks elsewhere."""
    side = 4 * cells
    features = torch.randn(channels, cells, cells, cells, generator=torch.Generator().manual_seed(0))
    volume = Volume(np.zeros((side,) * 3, np.float32), np.eye(4))
    voxels = np.random.default_rng(0).integers(0, side, (100_000, 3)).astype(np.int32)
    before = [Prompt(1, voxel[None]) for voxel in voxels[:annotations]]
    options = SimilarityOptions()
    classifier = SimilarityClassifier(volume, features=features, options=options, device=device)
    classifier.classify(before, (1,))
    unit, turns = F.normalize(features, dim=0).to(device), (count(annotations), count(annotations))

    def ours(_features: Tensor) -> Tensor:
        click = Prompt(1, voxels[next(turns[0]) % len(voxels)][None])
        return classifier.classify([*before, click], (1,)).maps[0]

    def straightforward(unit: Tensor) -> Tensor:
        rows = torch.from_numpy(np.concatenate([voxels[:annotations], voxels[[next(turns[1])]]]))
        relative = relative_coordinates(rows.to(device), (side,) * 3)
        grid = relative.flip(-1)[None, :, None, None]
        queries = F.grid_sample(unit[None], grid, align_corners=False)[0, :, :, 0, 0]
        similarity = torch.einsum("fwhd,fa->awhd", unit, queries)
        similarity = torch.where(similarity >= 0.1, similarity, 0.0) ** 2.5
        return scaled(similarity.mean(0) * _proximity(relative, 0.1, similarity.shape[1:]))

    return Workload((unit,), {OURS: ours, "einsum of all annotations": straightforward})


def _proximity(relative: Tensor, strength: float, shape: tuple[int, ...]) -> Tensor:
    line = torch.linspace(-1, 1, 48, device=relative.device)
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    distance = (points[..., None, :] - relative).square().sum(-1).sqrt().amin(-1)
    weight = torch.exp(-10 * strength * (distance - 0.1)).clamp(0, 1)
    return F.interpolate(weight[None, None], tuple(shape), mode="trilinear")[0, 0]


def proximity(device: torch.device, annotations: int) -> Workload:
    """Weights by the distance from the nearest annotation."""
    relative = 2 * torch.rand(annotations, 3, generator=torch.Generator().manual_seed(0)) - 1
    shape = (64, 64, 64)
    contenders = {
        OURS: lambda points: proximity_weight(points, 0.5, shape),
        "all pairs": lambda points: _proximity(points, 0.5, shape),
    }
    return Workload((relative.to(device),), contenders)


def map_quantile(device: torch.device, side: int) -> Workload:
    """The scale of a map."""
    values = torch.rand(side, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    contenders = {
        OURS: lambda x: quantile(x, 0.9999),
        "torch.quantile": lambda x: torch.quantile(x.flatten(), 0.9999),
    }
    return Workload((values,), contenders)


def bilateral(device: torch.device, side: int) -> Workload:
    """Grid and solution for a grey volume with smooth parts and noise, on a CPU."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(1, 1, 8, 8, 8, generator=generator), (side,) * 3, mode="trilinear")[
        0, 0
    ]
    noise = 0.03 * torch.randn(side, side, side, generator=generator)
    grey = (255 * (smooth + noise).clamp(0, 1)).to(torch.uint8)
    target = (smooth > 0.5).float()
    contenders = {
        OURS: lambda grey, target: BilateralGrid(grey.numpy(), GridSizes(5, 5, 5)).solve(target.numpy(), 0.9),
        "numpy.unique, SciPy": lambda grey, target: _solved(grey.numpy(), target.numpy(), 5.0),
    }
    return Workload((grey, target), contenders)


def _solved(grey: np.ndarray, target: np.ndarray, size: float) -> np.ndarray:
    """The solver with cells as rows of six numbers, found by sorting."""
    from scipy.sparse import csr_matrix, diags
    from scipy.sparse.linalg import cg

    yuv = np.repeat(grey.reshape(-1, 1), 3, axis=1) @ YUV.T + YUV_OFFSET
    places = np.argwhere(np.ones(grey.shape, bool))
    cells = np.concatenate([places / size, yuv / size], axis=1).astype(np.int64)
    radix = cells.max(0) + 3
    keys, vertex, counts = np.unique(
        np.ravel_multi_index((cells + 1).T, radix), return_inverse=True, return_counts=True
    )
    steps = np.cumprod([1, *radix[:0:-1]])[::-1]
    splat = csr_matrix((np.ones(len(vertex)), (vertex.ravel(), np.arange(len(vertex)))))
    blur = diags(np.full(len(keys), 2.0 * DIMENSIONS)).tocsr()
    for step in (*steps, *-steps):
        found = np.searchsorted(keys, keys + step).clip(max=len(keys) - 1)
        there = np.flatnonzero(keys[found] == keys + step)
        blur = blur + csr_matrix((np.ones(len(there)), (there, found[there])), shape=blur.shape)
    n = np.ones(len(keys))
    for _ in range(10):
        n = np.sqrt(n * counts / (blur @ n))
    m, weights = n * (blur @ n), splat @ np.full(grey.size, 0.9)
    system = 256 * (diags(m) - diags(n) @ blur @ diags(n)) + diags(weights)
    right = splat @ (0.9 * target.ravel().astype(np.float64))
    inverse = diags(1 / np.maximum(system.diagonal(), 1e-5))
    found = cg(system, right, right / weights, M=inverse, maxiter=25, atol=1e-5 * np.linalg.norm(right))[0]
    return (splat.T @ found).reshape(grey.shape)


CASES = [
    Case(
        "similarity_click",
        similarity_click,
        {
            "32^3 cells x 384, 1st click": dict(cells=32, channels=384, annotations=0),
            "32^3 cells x 384, 9th click": dict(cells=32, channels=384, annotations=8),
            "64^3 cells x 384, 9th click": dict(cells=64, channels=384, annotations=8),
        },
        tiny=dict(cells=4, channels=8, annotations=1),
    ),
    Case(
        "proximity",
        proximity,
        {"1 annotation": dict(annotations=1), "20 annotations": dict(annotations=20)},
        tiny=dict(annotations=2),
    ),
    Case("map_quantile", map_quantile, {"64^3": dict(side=64), "256^3": dict(side=256)}, tiny=dict(side=4)),
    Case("bilateral", bilateral, {"64^3": dict(side=64), "128^3": dict(side=128)}, tiny=dict(side=8)),
    *HISTOGRAMS,
    *PICTURES,
    *RAYS,
]

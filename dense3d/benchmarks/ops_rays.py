"""Cases of the suite ``ops`` for rays: compositing, volumes, grids of colour, beside plain torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dense3d import ops
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.ops.volume_rendering_cpu import cast
from dense3d.ops.volume_rendering_rays import camera_rays


def compositing(device: torch.device, rays: int, samples: int, channels: int = 3) -> Workload:
    """Random samples of low opacity, as along the rays of a radiance field."""
    random = torch.Generator().manual_seed(0)
    values = torch.rand(rays, samples, channels, generator=random)
    alpha = torch.rand(rays, samples, generator=random) * 4 / samples
    inputs = tuple(tensor.to(device) for tensor in (values, alpha))
    contenders = {OURS: lambda *tensors: ops.composite(*tensors).values, "torch, cumprod": cumprod_composite}
    return Workload(inputs, contenders, leaves=(0, 1))


def cumprod_composite(values: Tensor, alpha: Tensor) -> Tensor:
    """As radiance fields usually write it."""
    left = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha], -1), -1)[:, :-1]
    return ((left * alpha)[..., None] * values).sum(1)


def phantom(count: int) -> Tensor:
    """``(count, count, count)`` in 0 .. 1: a few soft spheres in a box that is mostly empty."""
    axis = torch.linspace(-1, 1, count)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    random = torch.Generator().manual_seed(0)
    volume = torch.zeros(count, count, count)
    for centre in torch.rand(6, 3, generator=random) - 0.5:
        volume = torch.maximum(volume, 1 - (grid - centre).norm(dim=-1) / 0.4)
    return volume


def casting(device: torch.device, count: int, pixels: int) -> Workload:
    """Rays of a perspective camera through a phantom, steps of one voxel."""
    volume = phantom(count)
    eye, target, up = torch.tensor([[2.2, 1.4, 0.9], [0, 0, 0], [0, 0, 1]])
    origins, directions = camera_rays(eye, target, up, (pixels, pixels), fov_y=45.0)
    positions = torch.tensor([0.0, 0.3, 0.5, 0.8, 1.0])
    rows = torch.tensor([[0, 0, 0, 0], [1, 0.8, 0.6, 0], [1, 0.5, 0.2, 3], [1, 1, 1, 20], [1, 1, 1, 20.0]])
    box = dict(origin=torch.full((3,), -1.0), spacing=torch.full((3,), 2 / count), step=2 / count)
    box = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in box.items()}
    inputs = tuple(tensor.to(device) for tensor in (volume, origins, directions, positions, rows))
    contenders = {
        OURS: lambda *tensors: ops.cast_rays(*tensors, **box),
        "torch, grid_sample": lambda *tensors: ops.cast_rays_reference(*tensors, **box),
    }
    if device.type == "cpu":
        contenders["dense3d, nothing skipped"] = lambda *tensors: cast(*tensors, **box, skip=False)
    return Workload(inputs, contenders)


def rendering(device: torch.device, count: int, rays: int) -> Workload:
    """Random rays through a grid of colours that is mostly empty, and the gradient of the grid."""
    random = torch.Generator().manual_seed(0)
    density = 20 * (phantom(count) - 0.4)
    grid = torch.cat([torch.rand(count, count, count, 3, generator=random), density[..., None]], -1)
    origins = 3 * torch.nn.functional.normalize(torch.randn(rays, 3, generator=random), dim=-1)
    targets = torch.rand(rays, 3, generator=random) * 1.6 - 0.8
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    place = dict(origin=torch.full((3,), -1.0), spacing=torch.full((3,), 2 / count), step=1 / count)
    place = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in place.items()}

    def by(backend: str | None) -> Callable:
        return lambda *tensors: ops.render_grid(*tensors, **place, backend=backend).values

    inputs = tuple(tensor.to(device) for tensor in (grid, origins, directions))
    contenders = {OURS: by(None), "torch, grid_sample": by("reference")}
    return Workload(inputs, contenders, leaves=(0,))


CASES = [
    Case(
        "composite",
        compositing,
        {"16,384 rays, 128 samples": {"rays": 16384, "samples": 128}},
        {"rays": 3, "samples": 7},
    ),
    Case(
        "cast_rays",
        casting,
        {"128^3 voxels, 128 x 128 pixels": {"count": 128, "pixels": 128}},
        {"count": 9, "pixels": 5},
    ),
    Case(
        "render_grid",
        rendering,
        {"128^3 voxels, 4,096 rays": {"count": 128, "rays": 4096}},
        {"count": 9, "rays": 12},
    ),
]

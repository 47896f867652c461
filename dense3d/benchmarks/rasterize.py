"""Suite ``rasterize``: pictures of 3D Gaussians, their projection and colours, beside torch and gsplat."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d import ops
from dense3d.benchmarks.timing import OURS, Case, Workload


def make_scene(number: int, cameras: int, width: int, height: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Means, quaternions, scales, opacities, coefficients (N, 16, 3), poses and intrinsics.

    Gaussians fill a ball of radius 1 seen from 3 away, each about as wide as its neighbours are far.
    """
    random = torch.Generator().manual_seed(seed)
    means = torch.randn(number, 3, generator=random)
    radii = torch.rand(number, 1, generator=random) ** (1 / 3)
    means = torch.nn.functional.normalize(means, dim=-1) * radii
    spacing = (4 / 3 * math.pi / max(number, 1)) ** (1 / 3)
    scales = 0.5 * spacing * (0.5 * torch.randn(number, 3, generator=random)).exp()
    quats = torch.randn(number, 4, generator=random)
    opacities = torch.randn(number, generator=random).sigmoid()
    coefficients = 0.2 * torch.randn(number, 16, 3, generator=random)
    viewmats = torch.eye(4).repeat(cameras, 1, 1)
    for camera in range(cameras):
        angle = 2 * math.pi * camera / cameras
        viewmats[camera, 0, [0, 2]] = torch.tensor([math.cos(angle), -math.sin(angle)])
        viewmats[camera, 2, [0, 2]] = torch.tensor([math.sin(angle), math.cos(angle)])
    viewmats[:, 2, 3] = 3.0
    focal = 1.2 * max(width, height)
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return means, quats, scales, opacities, coefficients, viewmats, K.repeat(cameras, 1, 1)


def rasterization(device: torch.device, number: int, width: int, height: int, cameras: int = 1) -> Workload:
    """Forward, and gradients to all parameters of the Gaussians and the poses."""
    inputs = tuple(tensor.to(device) for tensor in make_scene(number, cameras, width, height))

    def call(backend: str | None):
        return lambda *tensors: ops.rasterize_gaussians(
            *tensors, width, height, sh_degree=3, backend=backend
        )[0]

    contenders = {OURS: call(None), "torch, tile by tile": call("reference")}
    return Workload(inputs, contenders, leaves=(0, 1, 2, 3, 4, 5), images=cameras)


def projection(device: torch.device, number: int, width: int, height: int, cameras: int = 1) -> Workload:
    """Means on the image and conics."""
    means, quats, scales, opacities, _, viewmats, Ks = (
        tensor.to(device) for tensor in make_scene(number, cameras, width, height)
    )

    def call(backend: str | None):
        def project(*tensors: Tensor) -> Tensor:
            found = ops.project_gaussians(*tensors, Ks, width, height, backend=backend)
            return torch.cat([found.means2d, found.conics, found.depths[..., None]], -1)

        return project

    contenders = {OURS: call(None), "torch": call("reference")}
    return Workload((means, quats, scales, opacities, viewmats), contenders, leaves=(0, 1, 2, 4))


def harmonics(device: torch.device, number: int, cameras: int = 1) -> Workload:
    """Colours of degree 3."""
    means, *_, coefficients, _, _ = make_scene(number, 1, 8, 8)
    directions = torch.stack([means + 3 * camera for camera in range(1, cameras + 1)])

    def call(backend: str | None):
        return lambda dirs, coeffs: ops.spherical_harmonics(3, dirs, coeffs, backend=backend)

    inputs = directions.to(device), coefficients.to(device)
    return Workload(inputs, {OURS: call(None), "torch": call("reference")}, leaves=(0, 1))


_LARGE = {"number": 20_000, "width": 320, "height": 240}
_TINY = {"number": 40, "width": 21, "height": 18, "cameras": 2}
CASES = [
    Case("rasterize_gaussians", rasterization, {"20,000 Gaussians, 240 x 320": _LARGE}, _TINY),
    Case("project_gaussians", projection, {"20,000 Gaussians": _LARGE}, _TINY),
    Case(
        "spherical_harmonics",
        harmonics,
        {"20,000 Gaussians": {"number": 20_000}},
        {"number": 40, "cameras": 2},
    ),
]

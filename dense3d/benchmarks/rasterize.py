"""Suite ``rasterize``: pictures of 3D Gaussians, their projection and colours, beside torch and gsplat."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dense3d import ops
from dense3d.benchmarks.pointops import optional
from dense3d.benchmarks.timing import OURS, Case, Timing, Workload
from dense3d.errors import ConfigError
from dense3d.files import atomic_write
from dense3d.optional import require


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


def rasterization(
    device: torch.device, number: int, width: int, height: int, cameras: int = 1, in_torch: bool = True
) -> Workload:
    """Forward, and gradients to all parameters of the Gaussians and the poses; degree 3."""
    inputs = tuple(tensor.to(device) for tensor in make_scene(number, cameras, width, height))

    def by(backend: str | None) -> Callable:
        def render(*tensors: Tensor) -> Tensor:
            return ops.rasterize_gaussians(*tensors, width, height, sh_degree=3, backend=backend)[0]

        return render

    contenders = {OURS: by(None)}
    if in_torch:
        contenders["torch, tile by tile"] = by("reference")
    return Workload(inputs, contenders, leaves=(0, 1, 2, 3, 4, 5), images=cameras)


def projection(device: torch.device, number: int, width: int, height: int, cameras: int = 1) -> Workload:
    """Means on the image, conics and depths."""
    means, quats, scales, opacities, _, viewmats, Ks = (
        tensor.to(device) for tensor in make_scene(number, cameras, width, height)
    )

    def by(backend: str | None) -> Callable:
        def project(means: Tensor, quats: Tensor, scales: Tensor, viewmats: Tensor) -> Tensor:
            tensors = (means, quats, scales, opacities, viewmats, Ks)
            found = ops.project_gaussians(*tensors, width, height, backend=backend)
            return torch.cat([found.means2d, found.conics, found.depths[..., None]], -1)

        return project

    def gsplat(means: Tensor, quats: Tensor, scales: Tensor, viewmats: Tensor) -> Tensor:
        peer = require("gsplat.cuda._torch_impl")
        covars, _ = peer._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
        arguments = (means, covars, viewmats, Ks, width, height)
        _, means2d, depths, conics, _ = peer._fully_fused_projection(*arguments)
        return torch.cat([means2d, conics, depths[..., None]], -1)

    contenders = {OURS: by(None), "torch": by("reference")} | optional("gsplat", {"gsplat, torch": gsplat})
    return Workload((means, quats, scales, viewmats), contenders, leaves=(0, 1, 2, 3), images=cameras)


def harmonics(device: torch.device, number: int, cameras: int = 1) -> Workload:
    """Colours of degree 3."""
    means, *_, coefficients, _, _ = make_scene(number, 1, 8, 8)
    directions = torch.stack([means + 3 * camera for camera in range(1, cameras + 1)])

    def by(backend: str | None) -> Callable:
        return lambda dirs, coeffs: ops.spherical_harmonics(3, dirs, coeffs, backend=backend)

    def gsplat(dirs: Tensor, coeffs: Tensor) -> Tensor:
        peer = require("gsplat.cuda._torch_impl")
        return peer._spherical_harmonics(3, dirs, coeffs.expand(len(dirs), *coeffs.shape))

    inputs = directions.to(device), coefficients.to(device)
    contenders = {OURS: by(None), "torch": by("reference")} | optional("gsplat", {"gsplat, torch": gsplat})
    return Workload(inputs, contenders, leaves=(0, 1), images=cameras)


def check_drawn(only: list[str]) -> None:
    """What a plot is asked of is timed.

    Raises:
        ConfigError: it is not.
    """
    if only and SCALING not in only:
        raise ConfigError(f"--pictures draws the case {SCALING!r}, which is not among {', '.join(only)}")


def draw_scaling(timings: list[Timing], folder: str | Path) -> Path:
    """Draw time and memory over the number of Gaussians, of the case ``scaling``, to ``scaling.png``."""
    timings = [timing for timing in timings if timing.case == SCALING]
    file = Path(folder) / "scaling.png"
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for name, direction in dict.fromkeys((timing.contender, timing.direction) for timing in timings):
        chosen = [one for one in timings if (one.contender, one.direction) == (name, direction)]
        numbers = [SIZES[one.size]["number"] for one in chosen]
        style = dict(marker="o", label=f"{name}, {direction}", linestyle="-" if name == OURS else "--")
        axes[0].loglog(numbers, [one.median for one in chosen], **style)
        memory = [math.nan if one.memory is None else one.memory / 2**20 for one in chosen]
        axes[1].loglog(numbers, memory, **style)
    for view, label in zip(axes, ("seconds", "MiB that a call adds at its peak")):
        view.set(xlabel="Gaussians", ylabel=label)
        view.grid(alpha=0.3, which="both")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    with atomic_write(file, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120)
    return file


SCALING = "scaling"
_SIZE = {"width": 320, "height": 240}
_SMALL, _LARGE = {"number": 20_000, **_SIZE}, {"number": 200_000, "width": 800, "height": 800}
_TINY = {"number": 40, "width": 21, "height": 18, "cameras": 2}
SIZES = {
    f"{number:,} Gaussians": {"number": number, **_SIZE, "in_torch": number <= 10_000}
    for number in (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
}
CASES = [
    Case(
        "rasterize_gaussians",
        rasterization,
        {
            "20,000 Gaussians, 240 x 320": _SMALL,
            "200,000 Gaussians, 800 x 800": {**_LARGE, "in_torch": False},
        },
        _TINY,
    ),
    Case(
        "project_gaussians",
        projection,
        {"20,000 Gaussians": _SMALL, "200,000 Gaussians": _LARGE},
        _TINY,
    ),
    Case(
        "spherical_harmonics",
        harmonics,
        {"20,000 Gaussians": {"number": 20_000}, "200,000 Gaussians": {"number": 200_000}},
        {"number": 40, "cameras": 2},
    ),
    Case(SCALING, rasterization, SIZES, _TINY),
]

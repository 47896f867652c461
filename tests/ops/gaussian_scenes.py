"""Small scenes of Gaussians for tests."""

from __future__ import annotations

import torch
from torch import Tensor

SIZE = dict(width=37, height=26)


def scene(
    number: int = 60, cameras: int = 2, seed: int = 0, dtype: torch.dtype = torch.float64, channels: int = 3
) -> dict[str, Tensor]:
    """Arguments by name: some are behind the camera, thin, faint, opaque or beside the image."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    means = normal(number, 3) * torch.tensor([1.5, 1.2, 1.0]).double() + torch.tensor([0, 0, 2.5]).double()
    viewmats = torch.eye(4).double().repeat(cameras, 1, 1)
    for camera in range(cameras):
        axes = torch.linalg.qr(torch.eye(3).double() + 0.1 * normal(3, 3)).Q
        viewmats[camera, :3, :3] = axes * axes.diagonal().sign()
        viewmats[camera, :3, 3] = 0.1 * normal(3)
    Ks = torch.tensor([[30.0, 0, 17.3], [0, 33.0, 12.1], [0, 0, 1]]).double().repeat(cameras, 1, 1)
    arguments = dict(
        means=means,
        quats=normal(number, 4),
        scales=(normal(number, 3) * 0.8 - 2.0).exp(),
        opacities=(normal(number) * 2.5).sigmoid(),
        colors=normal(number, channels).sigmoid(),
        viewmats=viewmats,
        Ks=Ks,
    )
    return {name: value.to(dtype) for name, value in arguments.items()}


def one_gaussian(
    depth: float = 2.0, scale: float = 0.2, opacity: float = 0.5, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """A round Gaussian on the axis of a camera, whose principal point is the centre of pixel (8, 6)."""
    arguments = dict(
        means=torch.tensor([[0.0, 0.0, depth]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), scale),
        opacities=torch.tensor([opacity]),
        colors=torch.tensor([[1.0, 0.5, 0.25]]),
        viewmats=torch.eye(4)[None],
        Ks=torch.tensor([[[20.0, 0, 8.5], [0, 20.0, 6.5], [0, 0, 1]]]),
    )
    return {name: value.to(dtype) for name, value in arguments.items()}

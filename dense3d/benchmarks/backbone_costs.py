"""What a backbone costs: parameters, multiply-adds, time and memory, at one size of images."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from dense3d.benchmarks.timing import peak_growth
from dense3d.early_exit.cost import count_gflops
from dense3d.registry import MODELS

REPEATS = 5


@dataclass(frozen=True)
class BackboneCosts:
    """Costs of a backbone.

    Attributes:
        parameters: how many it has.
        gmacs: billions of multiply-adds of one image, in convolutions and matrix products.
        images_per_second: of a forward pass without gradients, median of several.
        memory: bytes that a forward and backward pass of the batch adds at its peak; None where nobody tells.
    """

    parameters: int
    gmacs: float
    images_per_second: float
    memory: int | None


def backbone_costs(
    backbone: dict, side: int = 224, batch: int = 8, device: torch.device | str = "cpu"
) -> BackboneCosts:
    """Build a backbone with random weights and measure it.

    Args:
        backbone: its config.
        side: height and width of the images.
        batch: images at a time.
        device: where to run.

    Example:
        >>> arch = dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))
        >>> backbone_costs(dict(type="ConvNeXt", arch=arch), side=64, batch=2).parameters
        25856
    """
    device = torch.device(device)
    network: nn.Module = MODELS.build(backbone).to(device).eval()
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    gmacs = count_gflops(lambda: network(images[:1]))

    def forward() -> None:
        with torch.no_grad():
            network(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def both() -> None:
        maps = network.train()(images)
        sum(level.float().square().mean() for level in maps).backward()
        network.zero_grad(set_to_none=True)

    forward()
    seconds = [_seconds(forward) for _ in range(REPEATS)]
    both()  # what is allocated once, such as gradients' buffers of the libraries, is no part of the growth
    memory = peak_growth(both, device)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return BackboneCosts(parameters, gmacs, batch / statistics.median(seconds), memory)


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start

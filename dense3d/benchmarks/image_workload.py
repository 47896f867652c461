"""Networks on a batch of random images, in full precision and under autocast."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dense3d.benchmarks.timing import Workload

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


def image_workload(
    device: torch.device,
    batch: int,
    side: int,
    precision: str,
    networks: tuple[nn.Module, ...],
    contenders: dict[str, Callable[[Tensor], Tensor]],
) -> Workload:
    """The contenders, functions of images that call the networks, which go into training mode.

    Args:
        device: where to run.
        batch: images in a call.
        side: height and width of an image in pixels.
        precision: a key of :data:`PRECISIONS`.
        networks: what the contenders call.
        contenders: by name; the first is ours.
    """
    for network in networks:
        network.to(device).train()
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    dtype = PRECISIONS[precision]

    def at_precision(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(images: Tensor) -> Tensor:
            with torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext():
                return function(images)

        return call

    timed = {name: at_precision(function) for name, function in contenders.items()}
    return Workload((images,), timed, leaves=(0,), images=batch)


def sizes_at_precisions(batch: int, side: int = 224, **arguments) -> dict[str, dict]:
    """Sizes of a :class:`dense3d.benchmarks.timing.Case`: one a precision."""
    return {
        f"{batch} images of {side}, {precision}": dict(
            batch=batch, side=side, precision=precision, **arguments
        )
        for precision in PRECISIONS
    }

"""Functions of images as workloads: what the cases of the suite ``backbones`` share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from dense3d.benchmarks.timing import Case, Workload
from dense3d.errors import ConfigError

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
_SHORT = {"fp32": "float32", "bf16": "bfloat16"}


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


def sizes_at_precisions(
    batch: int, side: int = 224, precisions: Sequence[str] = tuple(PRECISIONS), **arguments: Any
) -> dict[str, dict]:
    """Sizes of a :class:`dense3d.benchmarks.timing.Case`: one a precision."""
    return {
        f"{batch} image{'s' * (batch > 1)} of {side}, {precision}": dict(
            batch=batch, side=side, precision=precision, **arguments
        )
        for precision in precisions
    }


def at_sizes(
    cases: Sequence[Case], sides: Sequence[int] = (), batch: int | None = None, precisions: Sequence[str] = ()
) -> list[Case]:
    """Cases of images at other sizes than their own; what is not given stays.

    Args:
        cases: of this suite.
        sides: heights and widths of images in pixels.
        batch: images in a call.
        precisions: ``"fp32"``, ``"bf16"``.

    Raises:
        ConfigError: no such precision.
    """
    for name in precisions:
        if name not in _SHORT:
            raise ConfigError(f"no precision is named {name!r}; there are: {', '.join(_SHORT)}")
    wanted = [_SHORT[name] for name in precisions] or list(PRECISIONS)
    changed = []
    for case in cases:
        sizes = {}
        for own in list(case.sizes.values())[:1]:
            others = {
                name: value for name, value in own.items() if name not in ("batch", "side", "precision")
            }
            for side in sides or (own["side"],):
                sizes |= sizes_at_precisions(batch or own["batch"], side, wanted, **others)
        changed.append(replace(case, sizes=sizes))
    return changed


def last_map(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network as a function of images to its last map."""
    if hasattr(network, "forward_intermediates"):
        return lambda images: network.forward_intermediates(images, intermediates_only=True)[-1]
    if isinstance(network, torchvision.models.SwinTransformer):
        return lambda images: network.features(images).permute(0, 3, 1, 2)
    return lambda images: network(images)[-1]

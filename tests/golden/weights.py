"""A kit's seeded checkpoint in a model, and what that gives: outputs of modules, gradients."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.checkpoints import convert
from dense3d.engine import load_into


def tensors_of(kit) -> dict[str, Tensor]:
    """The official state dict of a :class:`tests.golden.kit.GoldenKit`."""
    return {name: torch.from_numpy(np.array(value)) for name, value in kit.state_dict().items()}


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], kit) -> nn.Module:
    """Load a converted checkpoint, every name accounted for, and put the model into evaluation mode.

    Raises:
        CheckpointError: names or shapes differ.
    """
    load_into(model, state, source=f"the converted checkpoint of {kit.folder.name}")
    return model.eval()


def load_kit(model: nn.Module, kit, system: str) -> nn.Module:
    """``model`` in evaluation mode with the kit's weights, converted and loaded strictly."""
    return load_strictly(model, convert(system, tensors_of(kit)), kit)


class Recorder:
    """Outputs of named modules in the latest forward pass.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> recorder = Recorder({"layer": layer})
        >>> _ = layer(torch.zeros(1, 2))
        >>> recorder["layer"].shape
        torch.Size([1, 3])
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._outputs: dict[str, Tensor] = {}
        for name, module in modules.items():
            module.register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Callable:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            self._outputs[name] = output.detach()

        return hook

    def __getitem__(self, name: str) -> Tensor:
        return self._outputs[name]

    def __contains__(self, name: str) -> bool:
        return name in self._outputs


def kept_numbers(kit, check: dict) -> int | None:
    """n of the kit's rule ``ceil(numel / n)`` for strides, in the note of this check or of another."""
    for note in [check.get("note", ""), *(other.get("note", "") for other in kit.checks)]:
        stated = re.search(r"numel\s*/\s*(\d+)", note)
        if stated:
            return int(stated[1])
    return None


def strided(gradient: Tensor, numbers: int | None) -> Tensor:
    """Every s-th element of the flat gradient, s = ceil(numel / numbers) made odd; all of them for None.

    Example:
        >>> strided(torch.arange(10.0), 5).tolist()
        [0.0, 3.0, 6.0, 9.0]
    """
    if numbers is None:
        return gradient.flatten()
    stride = -(-gradient.numel() // numbers)
    return gradient.flatten()[:: stride + 1 if stride > 1 and stride % 2 == 0 else stride]


def normalised(gradients: dict[str, Tensor | None], numbers: int | None) -> dict[str, Tensor]:
    """``gradmax.<name>``, largest magnitude of the strided gradient, and ``grad.<name>``, it over that."""
    found = {}
    for name, gradient in gradients.items():
        if gradient is not None:
            stored = strided(gradient, numbers)
            largest = stored.abs().max()
            found[f"gradmax.{name}"] = largest
            found[f"grad.{name}"] = stored / largest.clamp(min=1e-30)
    return found


def waves(output: Tensor, frequency: float, function=torch.cos) -> Tensor:
    """``mean(output * function(frequency * n))`` with n the flat index."""
    index = torch.arange(output.numel(), dtype=output.dtype).view_as(output)
    return (output * function(frequency * index)).mean()

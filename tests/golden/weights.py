"""A kit's seeded checkpoint as tensors, in a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn


def tensors_of(kit) -> dict[str, Tensor]:
    """The official state dict of a :class:`tests.golden.kit.GoldenKit`."""
    return {name: torch.from_numpy(np.array(value)) for name, value in kit.state_dict().items()}


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], kit) -> nn.Module:
    """Load a converted checkpoint, every name accounted for, and put the model into evaluation mode.

    Raises:
        CheckpointError: names or shapes differ.
    """
    from dense3d.engine.checkpoint import load_into

    load_into(model, state, source=f"the converted checkpoint of {kit.folder.name}")
    return model.eval()


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

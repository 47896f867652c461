"""What the golden adapters of vision transformers share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.checkpoints import convert
from dense3d.errors import DataError
from tests.golden import UnknownCheckError
from tests.golden.kit import GoldenKit
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]
Check = Callable[[dict, dict[str, Tensor]], dict[str, Tensor]]


def load_kit(model: nn.Module, kit: GoldenKit, system: str) -> nn.Module:
    """``model`` in evaluation mode with the kit's weights, converted and loaded strictly."""
    return load_strictly(model, convert(system, tensors_of(kit)), kit)


def runner(checks: dict[str, Check]) -> Callable[[dict, Arrays], Arrays]:
    """``run(check, inputs)`` that chooses by the check's name and returns what the check wants.

    The longest name that the check's name equals or continues with ``_`` or ``.`` decides.
    """

    def run(check: dict, inputs: Arrays) -> Arrays:
        name = check["name"]
        fitting = [known for known in checks if name == known or name.startswith((f"{known}_", f"{known}."))]
        if not fitting:
            raise UnknownCheckError(f"no rule for the check {name!r}; known are {', '.join(checks)}")
        tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in inputs.items()}
        with torch.no_grad():
            outputs = checks[max(fitting, key=len)](check, tensors)
        missing = [key for key in check["outputs"] if key not in outputs]
        if missing:
            raise UnknownCheckError(f"the check {name!r} wants {missing[0]!r}, for which there is no rule")
        return {key: outputs[key].numpy() for key in check["outputs"]}

    return run


def wanted_indices(check: dict, *stems: str) -> list[int]:
    """The numbers behind the given stems in the names of a check's outputs, ascending."""
    numbers = {
        int(output.removeprefix(stem))
        for output in check["outputs"]
        for stem in stems
        if output.startswith(stem) and output.removeprefix(stem).isdigit()
    }
    return sorted(numbers)


def config_of(kit: GoldenKit, known: set[str]) -> dict:
    """The kit's config.

    Raises:
        DataError: it has an argument that the adapter does not know.
    """
    config = dict(kit.meta.get("config") or {})
    unknown = sorted(set(config) - known)
    if unknown:
        raise DataError(f"{kit.folder}: the golden adapter does not know the config argument {unknown[0]!r}")
    return config

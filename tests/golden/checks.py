"""What adapters share: rules by the names of checks, inputs as tensors, outputs as arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from tests.golden import UnknownCheckError
from tests.golden.kit import GoldenKit

Arrays = dict[str, np.ndarray]
Run = Callable[[dict, Arrays], Arrays]
Rule = Callable[[dict, dict[str, Tensor]], Mapping[str, Tensor]]


def by_name(rules: Mapping[str, Rule]) -> Run:
    """``run(check, inputs)`` by the longest name that the check's continues with a number, ``_`` or ``.``."""

    def run(check: dict, inputs: Arrays) -> Arrays:
        name = check["name"]
        fitting = [known for known in rules if re.fullmatch(rf"{re.escape(known)}\d*([_.].*)?", name)]
        if not fitting:
            raise UnknownCheckError(f"no rule for the check {name!r}; known are {', '.join(rules)}")
        with torch.no_grad():
            return wanted(check, rules[max(fitting, key=len)](check, tensors_of_inputs(inputs)))

    return run


def tensors_of_inputs(inputs: Arrays) -> dict[str, Tensor]:
    """A check's inputs; writing into them, or asking for their gradients, leaves the kit as it is."""
    return {name: torch.from_numpy(np.array(value)) for name, value in inputs.items()}


def first_inputs(kit: GoldenKit) -> Arrays:
    """Inputs of the kit's first check, which serve every check that has none of its own."""
    return kit.inputs(kit.checks[0]["name"])


def wanted(check: dict, found: Mapping[str, Tensor | np.ndarray]) -> Arrays:
    """Of what was found, the outputs that the check lists.

    Raises:
        UnknownCheckError: one of them was not found.

    Example:
        >>> wanted({"name": "sum", "outputs": ["y"]}, {"x": torch.ones(2), "y": torch.ones(1)})
        {'y': array([1.], dtype=float32)}
    """
    missing = [name for name in check["outputs"] if name not in found]
    if missing:
        raise UnknownCheckError(f"there is no rule for {missing[0]!r} of the check {check['name']!r}")
    return {name: _array(found[name]) for name in check["outputs"]}


def _array(value: Tensor | np.ndarray) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, Tensor) else value


def wanted_indices(check: dict, *stems: str) -> list[int]:
    """The numbers behind the given stems in the names of a check's outputs, ascending.

    Example:
        >>> wanted_indices({"outputs": ["map11", "map2", "cls5", "mask"]}, "map", "cls")
        [2, 5, 11]
    """
    numbers = {
        int(output.removeprefix(stem))
        for output in check["outputs"]
        for stem in stems
        if output.startswith(stem) and output.removeprefix(stem).isdigit()
    }
    return sorted(numbers)

"""Gradients of parameters in the form in which kits store them."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor


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


def normalised(gradients: dict[str, Tensor | None], numbers: int | None) -> dict[str, np.ndarray]:
    """``gradmax.<name>``, largest magnitude of the strided gradient, and ``grad.<name>``, it over that."""
    found = {}
    for name, gradient in gradients.items():
        if gradient is not None:
            stored = strided(gradient, numbers)
            largest = stored.abs().max()
            found[f"gradmax.{name}"] = largest.numpy()
            found[f"grad.{name}"] = (stored / largest.clamp(min=1e-30)).numpy()
    return found


def waves(output: Tensor, frequency: float, function=torch.cos) -> Tensor:
    """``mean(output * function(frequency * n))`` with n the flat index."""
    index = torch.arange(output.numel(), dtype=output.dtype).view_as(output)
    return (output * function(frequency * index)).mean()

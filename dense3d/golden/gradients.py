"""Gradients of parameters in the form in which kits store them."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor


def strided(gradient: Tensor, check: dict) -> Tensor:
    """Every s-th element of the flat gradient: s = ceil(numel / n), made odd, with n from the check's note."""
    stated = re.search(r"numel\s*/\s*(\d+)", check.get("note", ""))
    if stated is None:
        return gradient.flatten()
    stride = -(-gradient.numel() // int(stated[1]))
    return gradient.flatten()[:: stride + 1 if stride > 1 and stride % 2 == 0 else stride]


def normalised(gradients: dict[str, Tensor | None], check: dict) -> dict[str, np.ndarray]:
    """``gradmax.<name>`` and ``grad.<name>``, the strided gradient divided by it."""
    found = {}
    for name, gradient in gradients.items():
        if gradient is not None:
            largest = gradient.abs().max()
            found[f"gradmax.{name}"] = largest.numpy()
            found[f"grad.{name}"] = (strided(gradient, check) / largest.clamp(min=1e-30)).numpy()
    return found


def waves(output: Tensor, frequency: float, function=torch.cos) -> Tensor:
    """``mean(output * function(frequency * n))`` with n the flat index."""
    index = torch.arange(output.numel(), dtype=output.dtype).view_as(output)
    return (output * function(frequency * index)).mean()

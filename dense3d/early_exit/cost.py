"""Compute of a forward pass, counted operator by operator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_gflops(run: Callable[[], object]) -> float:
    """Billions of multiply-adds in the convolutions and matrix products that ``run`` executes.

    A multiply-add counts once, as in the tables of the papers of this field. Norms, activations and the
    sampling of deformable attention are not counted.

    Example:
        >>> count_gflops(lambda: torch.ones(100, 200) @ torch.ones(200, 50))
        0.001
    """
    # Fused attention has kernels that the counter does not know; the plain one is made of products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2e9


class CostTable:
    """Costs of one image by its padded size and depth, each counted when it is first asked for.

    Args:
        run: a forward pass over one image of a size ``(H, W)`` that leaves the encoder at a depth.
    """

    def __init__(self, run: Callable[[tuple[int, int], int], object]) -> None:
        self._run = run
        self._counted: dict[tuple[tuple[int, int], int], float] = {}

    def gflops(self, size: tuple[int, int], depth: int) -> float:
        """Billions of multiply-adds; see :func:`count_gflops`."""
        key = (tuple(size), depth)
        if key not in self._counted:
            self._counted[key] = count_gflops(lambda: self._run(*key))
        return self._counted[key]

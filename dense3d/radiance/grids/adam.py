"""Adam for grids most of whose voxels a step does not touch: those keep their values and their moments.

D. Kingma and J. Ba, "Adam", ICLR 2015, algorithm 1, with a rate for each channel. That voxels without
gradient are left alone is from C. Sun et al., "Direct Voxel Grid Optimization", CVPR 2022, section 5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops.cpu_execution import parallel_for
from dense3d.ops.volume_rendering import numba_unavailable

BETAS = (0.9, 0.99)
EPSILON = 1e-7


class GridAdam:
    """Moments of a grid (X, Y, Z, 4).

    Args:
        values: the grid, changed in place.
    """

    def __init__(self, values: Tensor) -> None:
        self.values, self.steps = values, 0
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)

    def step(self, grad: Tensor, rates: tuple[float, float, float, float]) -> None:
        """One step; ``grad`` like the grid, ``rates`` of the channels."""
        self.steps += 1
        corrections = tuple(1 - beta**self.steps for beta in BETAS)
        if self.values.device.type == "cpu" and numba_unavailable() is None:
            from dense3d.radiance.grids.adam_kernels import adam

            arrays = [part.detach().numpy() for part in (self.values, grad, self.mean, self.square)]
            parallel_for(
                adam, len(self.values), *arrays, tuple(map(float, rates)), BETAS, corrections, EPSILON
            )
        else:
            self.step_in_torch(grad, rates, corrections)

    def step_in_torch(
        self, grad: Tensor, rates: tuple[float, float, float, float], corrections: tuple[float, float]
    ) -> None:
        """The definition of :meth:`step`, on any device."""
        touched = (grad != 0).any(-1, keepdim=True)
        mean = BETAS[0] * self.mean + (1 - BETAS[0]) * grad
        square = BETAS[1] * self.square + (1 - BETAS[1]) * grad**2
        move = (mean / corrections[0]) / ((square / corrections[1]).sqrt() + EPSILON)
        with torch.no_grad():
            self.values -= torch.where(touched, move * torch.tensor(rates).to(move), 0)
            self.mean.copy_(torch.where(touched, mean, self.mean))
            self.square.copy_(torch.where(touched, square, self.square))

    def state(self) -> dict:
        """What a checkpoint keeps."""
        return {"steps": self.steps, "mean": self.mean, "square": self.square}

    def load_state(self, state: dict) -> None:
        """Take over what :meth:`state` gave."""
        self.steps = state["steps"]
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])

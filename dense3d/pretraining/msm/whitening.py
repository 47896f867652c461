"""Targets whose directions count alike, so that features keep their rank."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn


class RunningWhitening(nn.Module):
    """Features less their mean, times the inverse root of their covariance (ZCA); both are moving averages.

    A student that predicts its own teacher's features does well where these vary little, and forgets
    directions that are hard to predict. Whitened, every direction has the same weight. Ermolov et al.,
    "Whitening for Self-Supervised Representation Learning", ICML 2021, whiten both sides by batches.

    Args:
        dim: C.
        momentum: of the averages, whose start does not count.
        eps: added to the eigenvalues, as a share of their mean.

    Example:
        >>> whitening = RunningWhitening(2, eps=0.0)
        >>> features = torch.tensor([[3.0, 0.5], [3.0, -0.5], [-3.0, 0.5], [-3.0, -0.5]])
        >>> whitening.update(features)
        >>> whitening(features).round().tolist()
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    """

    def __init__(self, dim: int, momentum: float = 0.95, eps: float = 0.1) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.register_buffer("weight", torch.zeros(()))  # of all updates, by which the averages are divided
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("square", torch.zeros(dim, dim))

    @torch.no_grad()
    def update(self, features: Tensor) -> None:
        """Take ``(V, C)`` into the averages, of all processes together; nothing if there are none."""
        features = features.float()
        with torch.autocast(features.device.type, enabled=False):  # sums of many, which float16 cannot hold
            sums = torch.cat([features.T @ features, features.sum(dim=0)[None]])  # (C + 1, C)
        count = sums.new_tensor(float(len(features)))
        all_reduce(sums)
        all_reduce(count)
        if count == 0:
            return
        share = 1 - self.momentum
        self.weight.lerp_(torch.ones_like(self.weight), share)
        self.mean.lerp_(sums[-1] / count, share)
        self.square.lerp_(sums[:-1] / count, share)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean ``(C,)`` and covariance ``(C, C)``; 0 and the identity before the first update."""
        if self.weight == 0:
            return self.mean, torch.eye(len(self.mean), device=self.mean.device)
        mean = self.mean / self.weight
        return mean, self.square / self.weight - mean[:, None] * mean

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """``(V, C)`` to the same, in float32, also under autocast."""
        mean, covariance = self.moments()
        with torch.autocast(features.device.type, enabled=False):
            values, vectors = torch.linalg.eigh(covariance)
            values = values.clamp(min=0)
            scale = (values + self.eps * values.mean()).clamp(min=1e-12).rsqrt()
            return (features.float() - mean) @ (vectors * scale) @ vectors.T

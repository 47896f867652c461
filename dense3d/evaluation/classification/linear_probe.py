"""A linear layer on frozen features, by the protocol of MAE and of "Battle of the Backbones".

He et al., CVPR 2022, appendix A.1: a batch norm without weights before the layer, and LARS (You et al.,
"Large Batch Training of Convolutional Networks", 2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import DataError
from dense3d.registry import OPTIMIZERS

BATCH = 256  # images that the learning rate is given for


@OPTIMIZERS.register_module()
class LARS(torch.optim.Optimizer):
    """Momentum whose step for a matrix is scaled by the norm of its weights over that of its gradient.

    With w the weights and g the gradient plus ``weight_decay * w``: ``m = momentum * m + q * g`` and
    ``w -= lr * m``, where ``q = trust * |w| / |g|`` (1 where either is zero). Vectors and biases have neither
    decay nor q.

    Args:
        params: parameters or groups.
        lr: learning rate.
        momentum, weight_decay, trust: see above.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, trust=trust))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of all parameters."""
        for group in self.param_groups:
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                update = weight.grad
                if weight.ndim > 1:
                    update = update.add(weight, alpha=group["weight_decay"])
                    norm, size = weight.norm(), update.norm()
                    ratio = torch.where((norm > 0) & (size > 0), group["trust"] * norm / size, 1.0)
                    update = update * ratio
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(group["momentum"]).add_(update)
                weight.add_(momentum, alpha=-group["lr"])


class ProbeHead(nn.Sequential):
    """Batch norm without weights and a linear layer, which starts with a deviation of 0.01.

    Args:
        channels: of the features.
        num_classes: of the logits.

    Shape:
        ``(B, channels)`` to ``(B, num_classes)``.

    Example:
        >>> ProbeHead(8, 3).eval()(torch.zeros(2, 8)).shape
        torch.Size([2, 3])
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(nn.BatchNorm1d(channels, affine=False, eps=1e-6), nn.Linear(channels, num_classes))
        nn.init.trunc_normal_(self[1].weight, std=0.01)
        nn.init.zeros_(self[1].bias)


def probe_step(head: nn.Module, optimizer: torch.optim.Optimizer, features: Tensor, labels: Tensor) -> Tensor:
    """One step of a head on a batch of features; the loss before it."""
    loss = F.cross_entropy(head(features), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def fit_probe(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    epochs: int = 90,
    warm_up: int = 10,
    batch_size: int = 256,
    rate: float = 0.1,
    trust: float = 0.001,
    seed: int = 0,
) -> ProbeHead:
    """Train a head on features that were computed once.

    The protocol augments images anew in each epoch; here an image has one feature, which is cheaper and gives
    other figures.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)``.
        num_classes: of the data.
        epochs, warm_up: of the training; the rate rises linearly and falls by half a cosine to 0.
        batch_size: images in a step.
        rate: learning rate for 256 images in a step.
        trust: of :class:`LARS`. The protocol's 0.001 is for the many steps of ImageNet; a few thousand images
            need more.
        seed: of the head and the order of images.

    Returns:
        The head, in evaluation mode.

    Raises:
        DataError: there are fewer than two images.
    """
    if len(features) < 2:
        raise DataError(f"{len(features)} images are too few to train a linear layer on")
    batch_size = min(batch_size, len(features))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = ProbeHead(features.shape[1], num_classes).to(features.device).train()
    optimizer = LARS(head.parameters(), lr=0.0, trust=trust)
    steps = len(features) // batch_size
    for epoch in range(epochs):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for step in range(steps):
            progress = epoch + step / steps
            optimizer.param_groups[0]["lr"] = rate * batch_size / BATCH * _factor(progress, epochs, warm_up)
            chosen = order[step * batch_size : (step + 1) * batch_size]
            probe_step(head, optimizer, features[chosen].float(), labels[chosen])
    return head.eval()


def _factor(epoch: float, epochs: int, warm_up: int) -> float:
    """Share of the learning rate, 0 .. 1."""
    if epoch < warm_up:
        return epoch / warm_up
    return 0.5 * (1 + math.cos(math.pi * (epoch - warm_up) / max(epochs - warm_up, 1)))

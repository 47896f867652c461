"""The gating network: the depth that an image needs, from its coarsest projected map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Gate(nn.Module):
    """Mean over the cells of the coarsest map, and one linear layer; the class of most weight is the exit.

    The map is that before the first encoder layer, without position encoding.

    Args:
        channels: C of the map.
        exits: depths in rising order, one class each.

    Example:
        >>> gate = Gate(8, exits=(2, 3, 4))
        >>> gate(torch.zeros(5, 8, 2, 3)).shape
        torch.Size([5, 3])
        >>> gate.depths(torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 3.0]]))
        [3, 2]
    """

    def __init__(self, channels: int, exits: Sequence[int]) -> None:
        super().__init__()
        self.exits = tuple(exits)
        self.head = nn.Linear(channels, len(self.exits))
        self.init_weights()

    def init_weights(self) -> None:
        """Xavier-uniform weights and no bias."""
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, coarsest: Tensor) -> Tensor:
        """Logits of the exits ``(B, E)`` from the map ``(B, C, h, w)``; always in single precision."""
        with torch.autocast(coarsest.device.type, enabled=False):
            return self.head(coarsest.float().mean((2, 3)))

    def depths(self, logits: Tensor) -> list[int]:
        """Depth of each image: the first exit of the largest logit."""
        return [self.exits[i] for i in logits.argmax(-1).tolist()]


def gate_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over the exits, a mean over the images that have a target; 0 without any.

    Args:
        logits: ``(B, E)``.
        wanted: positions of the target exits ``(B,)``, -1 where an image has none.

    Example:
        >>> logits = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
        >>> round(gate_loss(logits, torch.tensor([1, -1])).exp().item(), 4)  # 1 / 0.75
        1.3333
    """
    known = wanted >= 0
    if not known.any():
        return logits.sum() * 0
    return F.cross_entropy(logits[known], wanted[known])

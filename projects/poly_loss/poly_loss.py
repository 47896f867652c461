"""PolyLoss: cross-entropy whose first polynomial term has a weight of its own.

Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions", ICLR 2022
(arXiv 2204.12511), equation 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dense3d.registry import MODELS


@MODELS.register_module()
class PolyLoss(nn.Module):
    """Poly-1 of a pixel's class: ``-log(p_t) + epsilon (1 - p_t)``, with p_t the true class's probability.

    Cross-entropy is the series ``sum_j (1 - p_t)^j / j``; its first term gets the weight ``1 + epsilon``.
    It stands where mmseg's ``CrossEntropyLoss`` stands, and is that loss with ``epsilon=0``. (With class
    weights mmseg divides by their sum over the pixels; here it is the number of pixels with or without.)

    Args:
        epsilon: more than -1. The paper takes 2 for ImageNet-1K and -1 for Mask R-CNN's classes.
        loss_weight: factor of the result.
        class_weight: factor of the pixels of each class.
        loss_name: name in the log; it has to begin with ``loss_``.

    Shape:
        logits (B, K, H, W), labels (B, H, W) of 0 .. K - 1 or ``ignore_index``; the result is a scalar, the
        mean over all pixels, the ignored ones counted with 0 as in mmseg.
    """

    def __init__(
        self,
        epsilon: float = 1.0,
        loss_weight: float = 1.0,
        class_weight: Sequence[float] | None = None,
        loss_name: str = "loss_poly",
    ) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weight, persistent=False)

    def forward(
        self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255, **_
    ) -> Tensor:
        cross_entropy = F.cross_entropy(logits.float(), labels, reduction="none", ignore_index=ignore_index)
        loss = cross_entropy + self.epsilon * (1 - (-cross_entropy).exp())  # (B, H, W), 0 where ignored
        if self.class_weight is not None:
            loss = loss * self.class_weight[labels.masked_fill(labels == ignore_index, 0)]
        if weight is not None:
            loss = loss * weight
        return self.loss_weight * loss.mean()

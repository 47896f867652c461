"""Instance results in the order in which kits store them."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

SHOWN = 8


def by_score_and_class(found: InstanceData) -> dict[str, Tensor]:
    """``classes``, ``scores``, ``mask_area`` and the first eight masks, sorted by (-score, class)."""
    order = torch.from_numpy(np.lexsort((found.labels.numpy(), -found.scores.numpy())))
    masks = found.masks[order]
    return {
        "classes": found.labels[order].int(),
        "scores": found.scores[order],
        "mask_area": masks.sum((1, 2)).int(),
        "masks_top8": masks[:SHOWN].byte(),
    }

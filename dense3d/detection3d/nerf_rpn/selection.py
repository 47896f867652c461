"""From scored boxes of a scene to proposals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dense3d.ops import nms_3d

APART = 4.0  # times the scene's extent, by which levels that do not compete are moved apart


@dataclass
class Proposals:
    """Boxes of one scene by falling score.

    Attributes:
        boxes: ``(P, 7)`` in voxels.
        scores: ``(P,)`` in 0..1.
        levels: ``(P,)`` int64, level of the pyramid that each comes from.
    """

    boxes: Tensor
    scores: Tensor
    levels: Tensor

    def __getitem__(self, rows: Tensor | slice) -> Proposals:
        """Those of a mask, slice or index tensor."""
        return Proposals(self.boxes[rows], self.scores[rows], self.levels[rows])

    @classmethod
    def joined(cls, parts: list[Proposals]) -> Proposals:
        """All of several."""
        return cls(
            *(torch.cat([vars(part)[name] for part in parts]) for name in ("boxes", "scores", "levels"))
        )

    def at_least(self, side: float) -> Proposals:
        """Those with no side shorter than ``side`` voxels."""
        return self[(self.boxes[:, 3:6] >= side).all(1)]

    def suppressed(self, iou_threshold: float, within_levels: bool = False) -> Proposals:
        """Those that no better one overlaps by more, by falling score.

        Of boxes without volume the best stays alone, wherever they are: officially their overlap is 0 / 0.

        Args:
            iou_threshold: of volumes.
            within_levels: only boxes of one level compete.
        """
        flat = (self.boxes[:, 3:6].prod(1) == 0).nonzero().flatten()
        if len(flat) > 1:
            kept = torch.ones_like(self.scores, dtype=torch.bool)
            kept[flat] = False
            kept[flat[self.scores[flat].argmax()]] = True
            return self[kept].suppressed(iou_threshold, within_levels)
        boxes = self.boxes.double()
        if within_levels and len(boxes):
            reach = APART * (boxes[:, :6].abs().max() + 1)
            boxes[:, 2] += reach * self.levels
        return self[nms_3d(boxes, self.scores, iou_threshold)]


def cut_off(boxes: Tensor, size: Tensor) -> Tensor:
    """Boxes along the axes within a grid of ``size`` (3,) voxels."""
    low, high = boxes[:, :3] - boxes[:, 3:6] / 2, boxes[:, :3] + boxes[:, 3:6] / 2
    low, high = (torch.minimum(part.clamp(min=0), size.to(part)) for part in (low, high))
    return torch.cat([(low + high) / 2, high - low, boxes[:, 6:]], 1)

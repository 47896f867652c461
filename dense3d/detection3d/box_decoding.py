"""From scored boxes of a scene to detections: empty boxes, suppression, entries, as VoteNet and 3DETR do it.

Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019; the options are those of
the official evaluation scripts, which 3DETR shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.ops import points_in_boxes_all
from dense3d.structures import Boxes3D

SUPPRESSIONS = ("class", "3d", "2d", None)
ENTRIES = ("per-class", "objectness", "class")


@dataclass(frozen=True)
class BoxDecoder:
    """What becomes of the boxes of a scene.

    Attributes:
        min_points: boxes that hold fewer points are dropped; if all do, that of the greatest objectness
            stays. 0 keeps empty ones, as the official validation during training does.
        suppression: overlap of the boxes' axis-aligned hulls: ``"class"``, only boxes of one best class
            suppress each other; ``"3d"``, all; ``"2d"``, all, seen from above; None for none.
        iou_threshold: a box that overlaps a better one by more is dropped.
        over_own: divide the intersection by the volume of the box that may be dropped, not by the union.
        score_threshold: a box's objectness must be greater.
        entries: ``"per-class"``, every box once for each class with ``probability x objectness``;
            ``"objectness"`` or ``"class"``, once for its best class with its objectness or with the
            probability of that class.

    Raises:
        ConfigError: ``suppression`` or ``entries`` is another word.
    """

    min_points: int = 5
    suppression: str | None = "class"
    iou_threshold: float = 0.25
    over_own: bool = False
    score_threshold: float = 0.05
    entries: str = "per-class"

    def __post_init__(self) -> None:
        for name, known in (("suppression", SUPPRESSIONS), ("entries", ENTRIES)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} of decoded boxes is one of {', '.join(map(repr, known))}, not "
                    f"{getattr(self, name)!r}"
                )

    def __call__(
        self, boxes: Tensor, objectness: Tensor, probabilities: Tensor, points: Tensor | None = None
    ) -> InstanceData:
        """Detections of one scene.

        Args:
            boxes: ``(K, 7)`` in the world frame of :class:`~dense3d.structures.Boxes3D`.
            objectness: ``(K,)`` in 0..1.
            probabilities: ``(K, C)`` of the classes.
            points: ``(N, 3)`` of the scene; needed for ``min_points``.

        Returns:
            ``boxes`` (D, 7), ``scores`` (D,) and ``labels`` (D,), class by class where ``entries`` is
            ``"per-class"``, in the order of the boxes within.
        """
        likely = objectness > self.score_threshold  # the others suppress none of these
        others = boxes[~likely]
        boxes, objectness, probabilities = boxes[likely], objectness[likely], probabilities[likely]
        kept = self.kept(boxes, objectness, probabilities, points, others)
        boxes, objectness, probabilities = boxes[kept], objectness[kept], probabilities[kept]
        if self.entries == "per-class":
            scores = (probabilities * objectness[:, None]).T  # (C, D)
            labels = torch.arange(len(scores), device=scores.device)
            return InstanceData(
                boxes=boxes.repeat(len(scores), 1),
                scores=scores.flatten(),
                labels=labels.repeat_interleave(len(boxes)),
            )
        best, labels = probabilities.max(dim=1)
        return InstanceData(
            boxes=boxes, scores=objectness if self.entries == "objectness" else best, labels=labels
        )

    def kept(
        self,
        boxes: Tensor,
        objectness: Tensor,
        probabilities: Tensor,
        points: Tensor | None = None,
        others: Tensor | None = None,
    ) -> Tensor:
        """``(K,)`` bool: boxes that are neither empty nor suppressed; arguments of :meth:`__call__`.

        Args:
            others: ``(M, 7)``, less likely boxes of the scene; where one of them is not empty, all empty ones
                go.
        """
        if not len(boxes):
            return torch.zeros(0, dtype=torch.bool, device=boxes.device)
        filled = torch.ones_like(objectness, dtype=torch.bool)
        if self.min_points and points is not None:
            filled = points_in_each(points, boxes) >= self.min_points
            if not filled.any() and not self._any_filled(points, others):
                filled[objectness.argmax()] = True
        if self.suppression is None:
            return filled
        labels = probabilities.argmax(dim=1) if self.suppression == "class" else None
        overlaps = hull_overlaps(boxes, flat=self.suppression == "2d", over_second=self.over_own)
        suppresses = overlaps > self.iou_threshold
        if labels is not None:
            suppresses &= labels[:, None] == labels
        return filled & _greedy(suppresses, objectness, filled)

    def _any_filled(self, points: Tensor, boxes: Tensor | None) -> bool:
        return boxes is not None and bool((points_in_each(points, boxes) >= self.min_points).any())


def hull_overlaps(boxes: Tensor, flat: bool = False, over_second: bool = False) -> Tensor:
    """Intersection over union of the axis-aligned hulls of boxes ``(K, 7)``, or over the second's volume.

    Args:
        boxes: world frame; negative sizes count as positive ones.
        flat: seen from above.
        over_second: divide by the volume of the hull of the column's box.

    Returns:
        ``(K, K)`` float64.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 2, 1, 1, 0], [0, 0, 0, 1, 2, 1, torch.pi / 2]])
        >>> round(hull_overlaps(boxes)[0, 1].item(), 4)
        1.0
    """
    corners = Boxes3D(boxes.double(), "world").corners()  # (K, 8, 3)
    axes = 2 if flat else 3
    low, high = corners.amin(dim=1)[:, :axes], corners.amax(dim=1)[:, :axes]
    volume = (high - low).prod(dim=1)
    sides = torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)
    common = sides.clamp(min=0).prod(dim=2)
    base = volume if over_second else volume[:, None] + volume - common
    return torch.where(base > 0, common / base, 0.0)


def points_in_each(points: Tensor, boxes: Tensor) -> Tensor:
    """``(K,)``, how many of the points ``(N, 3)`` lie in each of the boxes ``(K, 7)``.

    Example:
        >>> points_in_each(torch.zeros(3, 3), torch.tensor([[0.0, 0, 0, 1, 1, 1, 0]])).tolist()
        [3]
    """
    standing = boxes.clone()
    standing[:, 3:6] = boxes[:, 3:6].abs()
    standing[:, 2] -= standing[:, 5] / 2  # its op counts from the bottom
    return points_in_boxes_all(points[None], standing[None])[0].sum(dim=0)


def _greedy(suppresses: Tensor, scores: Tensor, among: Tensor) -> Tensor:
    """``(K,)`` bool: by falling score, those of ``among`` that none before them suppresses."""
    from dense3d.ops._suppression import greedy_leaders

    order = scores.argsort(descending=True, stable=True)
    order = order[among[order]]
    leader = greedy_leaders(suppresses[order][:, order].cpu().numpy())
    kept = torch.zeros_like(among)
    is_leader = torch.from_numpy(leader).to(order.device) == torch.arange(len(order), device=order.device)
    kept[order[is_leader]] = True
    return kept

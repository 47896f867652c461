"""From logits and boxes to detections."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert, nms


def top_detections(logits: Tensor, boxes: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs of query and class with the highest scores; a query may come with several classes.

    Args:
        logits: ``(B, Q, classes)``.
        boxes: ``(B, Q, 4)`` cxcywh in [0, 1].
        number: pairs of each image, fewer where there are fewer.

    Returns:
        scores ``(B, K)`` in falling order, labels ``(B, K)`` and xyxy boxes ``(B, K, 4)`` in [0, 1], if the
        image does not cut them.

    Example:
        >>> logits, boxes = torch.tensor([[[1.0, -1.0], [0.0, 2.0]]]), torch.rand(1, 2, 4)
        >>> top_detections(logits, boxes, 2)[1].tolist()
        [[1, 0]]
    """
    num_classes = logits.shape[-1]
    scores = logits.float().sigmoid().flatten(1)
    scores, index = scores.topk(min(number, scores.shape[1]), dim=1)
    query, labels = index // num_classes, index % num_classes
    selected = boxes.float().gather(1, query[..., None].expand(-1, -1, 4))
    return scores, labels, box_convert(selected, "cxcywh", "xyxy")


def keep_best(scores: Tensor, boxes: Tensor, score_thr: float = 0.0, nms_iou: float | None = None) -> Tensor:
    """Indices of the detections of one image that stay, the best first.

    Args:
        scores: ``(K,)``.
        boxes: ``(K, 4)`` xyxy, absolute.
        score_thr: least score, exclusive; all stay for 0.
        nms_iou: suppress a box that overlaps a better one of any class by more than this.
    """
    index = (
        torch.where(scores > score_thr)[0] if score_thr else torch.arange(len(scores), device=scores.device)
    )
    return index if nms_iou is None else index[nms(boxes[index], scores[index], nms_iou)]

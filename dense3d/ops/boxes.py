"""Overlap of axis-aligned boxes."""

from __future__ import annotations

from torch import Tensor

from dense3d.ops.dispatch import register_backend

OVERLAP_MODES = ("iou", "iof")


def bbox_overlaps(
    boxes1: Tensor, boxes2: Tensor, mode: str = "iou", aligned: bool = False, offset: int = 0
) -> Tensor:
    """Intersection over union, or over the first box's area, of boxes ``(x1, y1, x2, y2)``.

    Args:
        boxes1: ``(M, 4)`` in pixels.
        boxes2: ``(N, 4)`` in pixels; with ``aligned`` M and N are equal.
        mode: ``"iou"``, or ``"iof"``, which divides by the area of ``boxes1``.
        aligned: compare row by row instead of all pairs.
        offset: 1 where a box includes its last pixel, so that its width is ``x2 - x1 + 1``.

    Returns:
        ``(M, N)``, or ``(M,)`` with ``aligned``. Two boxes without any area give NaN in mode ``"iou"``
        with ``offset`` 0, as mmcv does.

    Raises:
        ValueError: ``mode`` is another word.

    Example:
        >>> import torch
        >>> a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> bbox_overlaps(a, torch.tensor([[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 2.0, 2.0]])).tolist()
        [[0.3333333432674408, 1.0]]
    """
    check_overlap_mode(mode)
    first, second = (boxes1, boxes2) if aligned else (boxes1[:, None], boxes2[None])
    top_left = first[..., :2].maximum(second[..., :2])
    bottom_right = first[..., 2:].minimum(second[..., 2:])
    intersection = (bottom_right - top_left + offset).clamp(min=0).prod(-1)  # (M, N) or (M,)
    base = _area(first, offset)
    if mode == "iou":
        base = base + _area(second, offset) - intersection
    return intersection / base


def check_overlap_mode(mode: str) -> None:
    """Raise a ``ValueError`` that names the modes unless ``mode`` is one of them."""
    if mode not in OVERLAP_MODES:
        raise ValueError(f"mode must be one of {OVERLAP_MODES}, not {mode!r}")


def _area(boxes: Tensor, offset: int) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2] + offset).prod(-1)


register_backend("bbox_overlaps", "torch", implementation=bbox_overlaps)

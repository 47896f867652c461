"""Panoptic results as mmdet's models give them: label + 1000 x instance number in every pixel."""

from __future__ import annotations

import numpy as np

from dense3d.datasets.panoptic.id_map import VOID, constant_runs

INSTANCE_OFFSET = 1000


def decode_segments(
    coded: np.ndarray, num_classes: int, ignore_index: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Segment ids and labels of a panoptic result.

    Args:
        coded: ``(H, W)`` integers, label + 1000 x instance number; stuff has the number 0.
        num_classes: labels from it on are void.
        ignore_index: a further label that is void.

    Returns:
        ``(H, W)`` uint32 ids, 0 void and 1 .. S the segments, and the labels ``(S,)`` of these.

    Example:
        >>> decode_segments(np.array([[0, 1000, 1001, 3]]), num_classes=3)
        (array([[1, 2, 3, 0]], dtype=uint32), array([0, 0, 1]))
    """
    (values,), lengths = constant_runs(coded)
    present, places = np.unique(values, return_inverse=True)
    labels = present.astype(np.int64) % INSTANCE_OFFSET
    known = (labels < num_classes) & (present >= 0)
    if ignore_index is not None:
        known &= labels != ignore_index
    ids = np.where(known, np.cumsum(known), VOID).astype(np.uint32)
    return np.repeat(ids[places], lengths).reshape(coded.shape), labels[known]

"""Sequential parts of non-maximum suppression, compiled by numba for the CPU."""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2  # in the order of box_nms.SOFT_METHODS


@njit(inline="always")
def _iou(boxes, areas, i, j, offset):
    width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]) + offset
    height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]) + offset
    if width <= 0 or height <= 0:
        return np.float32(0)
    intersection = width * height
    return intersection / (areas[i] + areas[j] - intersection)


@njit()
def soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    """Indices in the order of selection, and the scores that they were selected with.

    The candidates not yet selected lie behind the selected ones; one whose score fell below
    ``min_score`` is replaced by the last. ``scores`` is overwritten.
    """
    areas = (boxes[:, 2] - boxes[:, 0] + offset) * (boxes[:, 3] - boxes[:, 1] + offset)
    index = np.arange(len(scores))
    count, selected = len(scores), 0
    while selected < count:
        best = selected
        for position in range(selected + 1, count):
            if scores[index[position]] > scores[index[best]]:
                best = position
        index[selected], index[best] = index[best], index[selected]
        chosen = index[selected]
        selected += 1
        position = selected
        while position < count:
            candidate = index[position]
            overlap = _iou(boxes, areas, chosen, candidate, offset)
            scores[candidate] *= _decay(overlap, threshold, sigma, method)
            if scores[candidate] < min_score:
                count -= 1
                index[position] = index[count]
            else:
                position += 1
    kept = index[:count]
    return kept, scores[kept]


@njit(inline="always")
def _decay(overlap, threshold, sigma, method):
    if method == GAUSSIAN:
        return np.exp(-(overlap * overlap) / sigma)
    if overlap < threshold:
        return np.float32(1)
    return np.float32(1) - overlap if method == LINEAR else np.float32(0)


@njit()
def nms_leaders(boxes, order, threshold):
    """For every box the box that suppressed it (``iou >= threshold``), itself when none did."""
    zero = np.float32(0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    leader = np.full(len(order), -1)
    for first in range(len(order)):
        i = order[first]
        if leader[i] >= 0:
            continue
        leader[i] = i
        for second in range(first + 1, len(order)):
            j = order[second]
            if leader[j] < 0 and _iou(boxes, areas, i, j, zero) >= threshold:
                leader[j] = i
    return leader


@njit()
def greedy_leaders(suppresses):
    """For every row the row that suppressed it, itself when none did.

    ``suppresses[i, j]`` says that i, when it is kept, removes j; rows are in the order of preference.
    """
    leader = np.full(len(suppresses), -1)
    for i in range(len(suppresses)):
        if leader[i] >= 0:
            continue
        leader[i] = i
        for j in range(i + 1, len(suppresses)):
            if leader[j] < 0 and suppresses[i, j]:
                leader[j] = i
    return leader

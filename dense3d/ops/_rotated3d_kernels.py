"""Overlap of upright boxes (N, 7) in a frame with z up, compiled by numba for the CPU; all in float64."""

from __future__ import annotations

import numpy as np
from numba import njit

from dense3d.ops._rotated_kernels import _intersection

MIN_VOLUME = 1e-14


@njit(cache=True)
def _overlap(box1, box2, over_first, rectangles, polygon, clipped):
    volume1, volume2 = box1[3] * box1[4] * box1[5], box2[3] * box2[4] * box2[5]
    if volume1 < MIN_VOLUME or volume2 < MIN_VOLUME:
        return 0.0
    top = min(box1[2] + 0.5 * box1[5], box2[2] + 0.5 * box2[5])
    bottom = max(box1[2] - 0.5 * box1[5], box2[2] - 0.5 * box2[5])
    if top <= bottom:
        return 0.0
    for k, box in enumerate((box1, box2)):
        rectangles[k, 0], rectangles[k, 1] = box[0], box[1]
        rectangles[k, 2], rectangles[k, 3], rectangles[k, 4] = box[3], box[4], box[6]
    common = (top - bottom) * _intersection(rectangles[0], rectangles[1], polygon, clipped)
    return common / (volume1 if over_first else volume1 + volume2 - common)


@njit(cache=True)
def pairwise_overlap(boxes1, boxes2, over_first):
    """``(M, N)`` overlaps of ``(M, 7)`` and ``(N, 7)`` boxes."""
    rectangles, polygon, clipped = np.empty((2, 5)), np.empty((8, 2)), np.empty((8, 2))
    overlaps = np.empty((len(boxes1), len(boxes2)))
    for i in range(len(boxes1)):
        for j in range(len(boxes2)):
            overlaps[i, j] = _overlap(boxes1[i], boxes2[j], over_first, rectangles, polygon, clipped)
    return overlaps


@njit(cache=True)
def aligned_overlap(boxes1, boxes2, over_first):
    """``(N,)`` overlaps row by row."""
    rectangles, polygon, clipped = np.empty((2, 5)), np.empty((8, 2)), np.empty((8, 2))
    overlaps = np.empty(len(boxes1))
    for i in range(len(boxes1)):
        overlaps[i] = _overlap(boxes1[i], boxes2[i], over_first, rectangles, polygon, clipped)
    return overlaps


@njit(cache=True)
def nms(boxes, threshold):
    """Which of ``boxes``, sorted by falling score, are kept: none overlaps a kept one by more than that."""
    rectangles, polygon, clipped = np.empty((2, 5)), np.empty((8, 2)), np.empty((8, 2))
    kept = np.ones(len(boxes), np.bool_)
    for i in range(len(boxes)):
        if not kept[i]:
            continue
        for j in range(i + 1, len(boxes)):
            if kept[j] and _overlap(boxes[i], boxes[j], False, rectangles, polygon, clipped) > threshold:
                kept[j] = False
    return kept

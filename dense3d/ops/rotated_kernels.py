"""Overlap of rotated rectangles (N, 5) and of upright boxes (N, 7) with z up, compiled by numba for the CPU.

Everything is in float64.
"""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit

MIN_AREA = MIN_VOLUME = 1e-14


@njit()
def _corners(box, origin_x, origin_y, corners):
    cosine, sine = np.cos(box[4]), np.sin(box[4])
    for k in range(4):
        u = 0.5 * box[2] if k == 1 or k == 2 else -0.5 * box[2]
        v = 0.5 * box[3] if k >= 2 else -0.5 * box[3]
        corners[k, 0] = box[0] - origin_x + u * cosine - v * sine
        corners[k, 1] = box[1] - origin_y + u * sine + v * cosine


@njit()
def _clip_by_line(polygon, count, normal_x, normal_y, limit, clipped):
    """Sutherland-Hodgman: the part of ``polygon`` where ``normal . p <= limit``."""
    kept = 0
    for k in range(count):
        x, y = polygon[k]
        next_x, next_y = polygon[(k + 1) % count]
        here = normal_x * x + normal_y * y - limit
        there = normal_x * next_x + normal_y * next_y - limit
        if here <= 0:
            clipped[kept, 0], clipped[kept, 1] = x, y
            kept += 1
        if (here < 0 < there) or (there < 0 < here):
            t = here / (here - there)
            clipped[kept, 0], clipped[kept, 1] = x + t * (next_x - x), y + t * (next_y - y)
            kept += 1
    return kept


@njit()
def rectangle_intersection(box1, box2, polygon, clipped):
    """Area common to two rotated rectangles; the second one's sides cut the first one's polygon in turn.

    For other compiled loops: it allocates nothing.

    Args:
        box1, box2: (5,) float64, centre x and y, sizes along the own axes, and the turn from x towards y in
            radians.
        polygon, clipped: (8, 2) float64 of any content, is overwritten.
    """
    reach = 0.5 * (np.hypot(box1[2], box1[3]) + np.hypot(box2[2], box2[3]))
    if np.hypot(box1[0] - box2[0], box1[1] - box2[1]) >= reach:
        return 0.0
    _corners(box1, box2[0], box2[1], polygon)  # relative to the second box's centre
    cosine, sine = np.cos(box2[4]), np.sin(box2[4])
    count = _clip_by_line(polygon, 4, cosine, sine, 0.5 * box2[2], clipped)
    count = _clip_by_line(clipped, count, -cosine, -sine, 0.5 * box2[2], polygon)
    count = _clip_by_line(polygon, count, -sine, cosine, 0.5 * box2[3], clipped)
    count = _clip_by_line(clipped, count, sine, -cosine, 0.5 * box2[3], polygon)
    doubled = 0.0
    for k in range(count):
        follower = (k + 1) % count
        doubled += polygon[k, 0] * polygon[follower, 1] - polygon[follower, 0] * polygon[k, 1]
    return 0.5 * abs(doubled)


@njit()
def _overlap(box1, box2, over_first, polygon, clipped):
    area1, area2 = box1[2] * box1[3], box2[2] * box2[3]
    if area1 < MIN_AREA or area2 < MIN_AREA:
        return 0.0
    intersection = rectangle_intersection(box1, box2, polygon, clipped)
    return intersection / (area1 if over_first else area1 + area2 - intersection)


@njit()
def pairwise_overlap(boxes1, boxes2, over_first):
    """``(M, N)`` overlaps of ``(M, 5)`` and ``(N, 5)`` boxes."""
    polygon, clipped = np.empty((8, 2)), np.empty((8, 2))
    overlaps = np.empty((len(boxes1), len(boxes2)))
    for i in range(len(boxes1)):
        for j in range(len(boxes2)):
            overlaps[i, j] = _overlap(boxes1[i], boxes2[j], over_first, polygon, clipped)
    return overlaps


@njit()
def aligned_overlap(boxes1, boxes2, over_first):
    """``(N,)`` overlaps of equal rows."""
    polygon, clipped = np.empty((8, 2)), np.empty((8, 2))
    overlaps = np.empty(len(boxes1))
    for i in range(len(boxes1)):
        overlaps[i] = _overlap(boxes1[i], boxes2[i], over_first, polygon, clipped)
    return overlaps


@njit()
def nms(boxes, threshold):
    """Which of ``boxes``, sorted by falling score, are kept: none overlaps a kept one by ``threshold``."""
    polygon, clipped = np.empty((8, 2)), np.empty((8, 2))
    kept = np.ones(len(boxes), np.bool_)
    for i in range(len(boxes)):
        if not kept[i]:
            continue
        for j in range(i + 1, len(boxes)):
            if kept[j] and np.float32(_overlap(boxes[i], boxes[j], False, polygon, clipped)) >= threshold:
                kept[j] = False
    return kept


@njit()
def _overlap_3d(box1, box2, over_first, rectangles, polygon, clipped):
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
    common = (top - bottom) * rectangle_intersection(rectangles[0], rectangles[1], polygon, clipped)
    return common / (volume1 if over_first else volume1 + volume2 - common)


@njit()
def pairwise_overlap_3d(boxes1, boxes2, over_first):
    """``(M, N)`` overlaps of ``(M, 7)`` and ``(N, 7)`` boxes."""
    rectangles, polygon, clipped = np.empty((2, 5)), np.empty((8, 2)), np.empty((8, 2))
    overlaps = np.empty((len(boxes1), len(boxes2)))
    for i in range(len(boxes1)):
        for j in range(len(boxes2)):
            overlaps[i, j] = _overlap_3d(boxes1[i], boxes2[j], over_first, rectangles, polygon, clipped)
    return overlaps


@njit()
def aligned_overlap_3d(boxes1, boxes2, over_first):
    """``(N,)`` overlaps row by row."""
    rectangles, polygon, clipped = np.empty((2, 5)), np.empty((8, 2)), np.empty((8, 2))
    overlaps = np.empty(len(boxes1))
    for i in range(len(boxes1)):
        overlaps[i] = _overlap_3d(boxes1[i], boxes2[i], over_first, rectangles, polygon, clipped)
    return overlaps


@njit()
def nms_3d(boxes, threshold):
    """Which of ``boxes``, sorted by falling score, are kept: none overlaps a kept one by more than that."""
    rectangles, polygon, clipped = np.empty((2, 5)), np.empty((8, 2)), np.empty((8, 2))
    kept = np.ones(len(boxes), np.bool_)
    for i in range(len(boxes)):
        if not kept[i]:
            continue
        for j in range(i + 1, len(boxes)):
            if kept[j] and _overlap_3d(boxes[i], boxes[j], False, rectangles, polygon, clipped) > threshold:
                kept[j] = False
    return kept

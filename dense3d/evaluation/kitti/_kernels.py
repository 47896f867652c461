"""Loops of the evaluation, compiled by numba for the CPU; float64 throughout.

Objects of all frames lie one after another. ``first`` holds where each frame's objects begin, and one entry
more. Pairs are those of a ground truth with every detection of its frame, ground truths in order.
"""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit
from dense3d.ops.rotated_kernels import rectangle_intersection


@njit()
def pair_overlaps(
    gt_first, gt_boxes, gt_footprints, gt_extents, dt_first, dt_boxes, dt_footprints, dt_extents, pairs
):
    """``(pairs, 3)`` overlaps of 2D boxes, footprints and 3D boxes.

    Args:
        gt_boxes, dt_boxes: (N, 4) left, top, right, bottom.
        gt_footprints, dt_footprints: (N, 5) x, z, length, width, turn from x towards z.
        gt_extents, dt_extents: (N, 2) top and bottom of the 3D box, y down.
    """
    overlaps = np.zeros((pairs, 3))
    polygon, clipped = np.empty((8, 2)), np.empty((8, 2))
    pair = 0
    for frame in range(len(gt_first) - 1):
        for i in range(gt_first[frame], gt_first[frame + 1]):
            for j in range(dt_first[frame], dt_first[frame + 1]):
                overlaps[pair, 0] = _box_overlap(dt_boxes[j], gt_boxes[i], False)
                a, b = dt_footprints[j], gt_footprints[i]
                area_a, area_b = a[2] * a[3], b[2] * b[3]
                # boxes that are not given have negative sides
                if a[2] > 0 and b[2] > 0:
                    common = rectangle_intersection(a, b, polygon, clipped)
                    if common > 0:
                        overlaps[pair, 1] = common / (area_a + area_b - common)
                        height = min(dt_extents[j, 1], gt_extents[i, 1]) - max(
                            dt_extents[j, 0], gt_extents[i, 0]
                        )
                        if height > 0:
                            volume_a = area_a * (dt_extents[j, 1] - dt_extents[j, 0])
                            volume_b = area_b * (gt_extents[i, 1] - gt_extents[i, 0])
                            common *= height
                            overlaps[pair, 2] = common / (volume_a + volume_b - common)
                pair += 1
    return overlaps


@njit()
def covered_by(region_first, regions, dt_first, dt_boxes):
    """(D,) largest part of each detection's 2D box that lies in one of its frame's regions."""
    covered = np.zeros(len(dt_boxes))
    for frame in range(len(region_first) - 1):
        for j in range(dt_first[frame], dt_first[frame + 1]):
            for i in range(region_first[frame], region_first[frame + 1]):
                covered[j] = max(covered[j], _box_overlap(dt_boxes[j], regions[i], True))
    return covered


@njit()
def _box_overlap(a, b, over_first):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    area = (a[2] - a[0]) * (a[3] - a[1])
    return common / area if over_first else common / (area + (b[2] - b[0]) * (b[3] - b[1]) - common)


@njit()
def candidates(gt_first, gt_flags, dt_first, dt_flags, overlaps, limit):
    """Detections that may match each ground truth.

    Returns:
        visible: indices of the ground truths that take part.
        start: where each one's candidates begin, and one entry more.
        detection, overlap: the candidates, in the order of the file.
    """
    visible = np.empty(len(gt_flags), np.int64)
    start = np.zeros(len(gt_flags) + 1, np.int64)
    detection = np.empty(len(overlaps), np.int64)
    overlap = np.empty(len(overlaps))
    count, found, pair = 0, 0, 0
    for frame in range(len(gt_first) - 1):
        detections = dt_first[frame + 1] - dt_first[frame]
        for i in range(gt_first[frame], gt_first[frame + 1]):
            if gt_flags[i] >= 0:
                for k in range(detections):
                    j = dt_first[frame] + k
                    if dt_flags[j] >= 0 and overlaps[pair + k] > limit:
                        detection[found], overlap[found] = j, overlaps[pair + k]
                        found += 1
                visible[count] = i
                count += 1
                start[count] = found
            pair += detections
    return visible[:count], start[: count + 1], detection[:found].copy(), overlap[:found].copy()


@njit()
def true_positive_scores(visible, start, detection, gt_flags, dt_flags, scores):
    """Scores of the matches without a score threshold: every ground truth takes its best-scored candidate."""
    assigned = np.zeros(len(dt_flags), np.bool_)
    found = np.empty(len(visible))
    count = 0
    for v in range(len(visible)):
        best = -1
        for c in range(start[v], start[v + 1]):
            j = detection[c]
            if not assigned[j] and (best < 0 or scores[j] > scores[best]):
                best = j
        if best >= 0:
            assigned[best] = True
            if gt_flags[visible[v]] == 0 and dt_flags[best] == 0:
                found[count] = scores[best]
                count += 1
    return found[:count].copy()


@njit()
def counts_at(thresholds, visible, start, detection, overlap, gt_flags, dt_flags, scores, excused, turns):
    """True positives, false negatives, detections that cannot be false any more, and summed similarity.

    Every ground truth takes the counted candidate of largest overlap, else the first ignored one. One row a
    threshold; a detection that is ``excused`` is no false positive whether it is assigned or not.

    Args:
        turns: (pairs of ``detection``) difference of the observation angles in radians.
    """
    counts = np.zeros((len(thresholds), 4))
    assigned_at = np.full(len(dt_flags), -1, np.int64)
    for row in range(len(thresholds)):
        for v in range(len(visible)):
            best, best_overlap, best_counted = -1, 0.0, False
            for c in range(start[v], start[v + 1]):
                j = detection[c]
                if assigned_at[j] == row or scores[j] < thresholds[row]:
                    continue
                counted = dt_flags[j] == 0
                if counted and (not best_counted or overlap[c] > best_overlap):
                    best, best_overlap, best_counted = c, overlap[c], True
                elif not counted and best < 0:
                    best = c
            if best < 0:
                counts[row, 1] += gt_flags[visible[v]] == 0
                continue
            j = detection[best]
            assigned_at[j] = row
            if dt_flags[j] == 0 and not excused[j]:
                counts[row, 2] += 1
            if gt_flags[visible[v]] == 0 and best_counted:
                counts[row, 0] += 1
                counts[row, 3] += (1 + np.cos(turns[best])) / 2
    return counts

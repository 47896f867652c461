"""Panoptic quality image by image in plain Python, rule by rule: slow, and the measure of the fast one.

Shares no code with :mod:`dense3d.evaluation.panoptic.matching`. The steps and their cost are those of the
official evaluator: Pillow decodes, ``numpy.unique`` sorts all pixels, pairs of segments are Python objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.image_files import open_image


def evaluate_reference(
    images: Iterable[tuple[str | Path, list[dict], str | Path, list[dict]]],
) -> dict[Any, tuple[float, int, int, int]]:
    """Sum of overlaps, true positives, false positives and false negatives of each category that occurs.

    Args:
        images: png and ``segments_info`` of the ground truth, png and ``segments_info`` of the prediction.
    """
    iou_sum: Counter = Counter()
    counts = {name: Counter() for name in ("tp", "fp", "fn")}
    for true_png, true_list, pred_png, pred_list in images:
        _count_image(decode(true_png), true_list, decode(pred_png), pred_list, iou_sum, counts)
    occurring = set().union(*counts.values())
    return {c: (float(iou_sum[c]), *(counts[name][c] for name in ("tp", "fp", "fn"))) for c in occurring}


def decode(png: str | Path) -> np.ndarray:
    """Ids (H, W) of a png."""
    with open_image(png) as image:
        pixels = np.array(image, dtype=np.uint32)
    return pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]


def _count_image(
    true_map: np.ndarray,
    true_list: list[dict],
    pred_map: np.ndarray,
    pred_list: list[dict],
    iou_sum: Counter,
    counts: dict[str, Counter],
) -> None:
    truth = {segment["id"]: segment for segment in true_list}
    prediction = {segment["id"]: segment for segment in pred_list}
    areas = dict(zip(*(a.tolist() for a in np.unique(pred_map, return_counts=True))))
    combined = true_map.astype(np.uint64) * 2**24 + pred_map.astype(np.uint64)
    shared: dict[tuple[int, int], int] = {}
    for key, pixels in zip(*np.unique(combined, return_counts=True)):
        shared[int(key) // 2**24, int(key) % 2**24] = int(pixels)

    matched: set[tuple[str, int]] = set()
    for (true_id, pred_id), overlap in shared.items():
        if true_id not in truth or pred_id not in prediction or truth[true_id].get("iscrowd"):
            continue
        category = truth[true_id]["category_id"]
        if category != prediction[pred_id]["category_id"]:
            continue
        union = truth[true_id]["area"] + areas[pred_id] - overlap - shared.get((0, pred_id), 0)
        if overlap / union > 0.5:
            iou_sum[category] += overlap / union
            counts["tp"][category] += 1
            matched |= {("truth", true_id), ("prediction", pred_id)}

    crowds = {}
    for true_id, segment in truth.items():
        if segment.get("iscrowd"):
            crowds[segment["category_id"]] = true_id
        elif ("truth", true_id) not in matched:
            counts["fn"][segment["category_id"]] += 1
    for pred_id, segment in prediction.items():
        if ("prediction", pred_id) in matched:
            continue
        ignored = shared.get((0, pred_id), 0)
        if segment["category_id"] in crowds:
            ignored += shared.get((crowds[segment["category_id"]], pred_id), 0)
        if ignored / areas[pred_id] <= 0.5:
            counts["fp"][segment["category_id"]] += 1

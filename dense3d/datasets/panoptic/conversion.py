"""Panoptic maps to instances and maps of classes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dense3d.datasets.panoptic.agreement import Segments, counted_segments
from dense3d.datasets.panoptic.id_map import VOID, constant_runs
from dense3d.errors import DataError

IGNORED = 255  # label of pixels that belong to no class
Overlap = Literal["refuse", "first", "smallest"]


@dataclass(frozen=True, eq=False)
class Instance:
    """One thing, or one region of many.

    Args:
        mask: ``(H, W)`` bool.
        category_id: of the thing.
        iscrowd: whether it is a region of many things.
    """

    mask: np.ndarray
    category_id: int
    iscrowd: bool = False


def instances_of(
    ids: np.ndarray, segments: Segments, categories: dict[int, dict[str, Any]]
) -> list[Instance]:
    """The things of a panoptic map, in the order of its segments.

    Args:
        ids: ``(H, W)`` segment ids.
        segments: ``id``, ``category_id`` and perhaps ``iscrowd``.
        categories: by id, with ``isthing``.
    """
    return [
        Instance(ids == segment["id"], segment["category_id"], bool(segment.get("iscrowd", 0)))
        for segment in segments
        if categories[segment["category_id"]]["isthing"]
    ]


def semantic_map_of(
    ids: np.ndarray, segments: Segments, labels: dict[int, int], void: int = IGNORED
) -> np.ndarray:
    """The classes of a panoptic map.

    Args:
        ids: ``(H, W)`` segment ids.
        segments: ``id`` and ``category_id``.
        labels: category id -> label in 0 .. 255.
        void: label of void, of ids that are not listed and of categories without a label.

    Returns:
        ``(H, W)`` uint8 labels.
    """
    of_segments = {s["id"]: labels.get(s["category_id"], void) for s in segments}
    return label_map(ids, of_segments, void)


def label_map(ids: np.ndarray, labels: dict[int, int], void: int = IGNORED) -> np.ndarray:
    """Labels in place of segment ids.

    Args:
        ids: ``(H, W)`` segment ids.
        labels: segment id -> label in 0 .. 255.
        void: label of ids that have none.

    Returns:
        ``(H, W)`` uint8 labels.

    Raises:
        DataError: a label does not fit into 8 bits.

    Example:
        >>> label_map(np.array([[0, 7], [9, 7]]), {7: 3})
        array([[255,   3],
               [255,   3]], dtype=uint8)
    """
    beyond = [(number, label) for number, label in labels.items() if not 0 <= label <= IGNORED]
    if beyond:
        number, label = beyond[0]
        raise DataError(f"segment {number} has label {label}: labels of 8 bits lie in 0 .. {IGNORED - 1}")
    (values,), lengths = constant_runs(ids)
    of_runs = np.array([labels.get(number, void) for number in values.tolist()], dtype=np.uint8)
    return np.repeat(of_runs, lengths).reshape(ids.shape)


def panoptic_of(
    instances: Sequence[Instance],
    semantic: np.ndarray,
    stuff: dict[int, int],
    where: str = "image",
    overlap: Overlap = "refuse",
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """A panoptic map of instances and a map of classes.

    Things lie on top of stuff; labels of the map that are no stuff, such as those of things without an
    instance, become void.

    Args:
        instances: things.
        semantic: ``(H, W)`` labels.
        stuff: label -> category id.
        where: file or image, for the message.
        overlap: ``"refuse"`` instances that share pixels, and those without any; or give a pixel to the
            ``"first"`` or the ``"smallest"`` (by pixels) of the instances that cover it, and to crowd regions
            only what others leave. Instances that are left without pixels are then no segments.

    Returns:
        ``(H, W)`` uint32 ids from 1 on, instances first, and ``segments_info`` with areas and boxes.

    Raises:
        DataError: an instance has another size than the map; or, with ``overlap="refuse"``, it has no pixel,
            or two share pixels: a panoptic map gives each pixel to one segment.

    Example:
        >>> thing = Instance(np.array([[True, False]]), category_id=1)
        >>> ids, segments = panoptic_of([thing], np.array([[5, 5]]), {5: 92})
        >>> ids, [s["category_id"] for s in segments]
        (array([[1, 2]], dtype=uint32), [1, 92])
    """
    ids = np.full(semantic.shape, VOID, dtype=np.uint32)
    numbered = list(enumerate(instances, start=1))
    if overlap == "first":
        numbered.sort(key=lambda pair: pair[1].iscrowd)
    elif overlap == "smallest":
        numbered.sort(key=lambda pair: (pair[1].iscrowd, np.count_nonzero(pair[1].mask)))
    for number, instance in numbered:
        name = f"{where}: instance {number} of {len(instances)} (category {instance.category_id})"
        ids[_own_pixels(instance, ids, name, overlap)] = number
    segments = [
        {"id": number, "category_id": instance.category_id, "iscrowd": int(instance.iscrowd)}
        for number, instance in enumerate(instances, start=1)
    ]
    for label in np.unique(semantic[ids == VOID]).tolist():
        if label in stuff:
            segments.append({"id": len(segments) + 1, "category_id": stuff[label], "iscrowd": 0})
            ids[(semantic == label) & (ids == VOID)] = len(segments)
    return ids, counted_segments(ids, segments)


def _own_pixels(instance: Instance, ids: np.ndarray, name: str, overlap: Overlap) -> np.ndarray:
    """Pixels (H, W) of an instance that no earlier one has."""
    if instance.mask.shape != ids.shape:
        raise DataError(f"{name} has a mask of {instance.mask.shape}, but the map of classes is {ids.shape}")
    if overlap != "refuse":
        return instance.mask & (ids == VOID)
    covered = ids[instance.mask]
    if not covered.size:
        raise DataError(
            f"{name} has an empty mask; leave it out, or convert with overlap='first' or 'smallest'"
        )
    if covered.any():
        other = int(covered[covered != VOID][0])
        raise DataError(
            f"{name} overlaps instance {other} in {np.count_nonzero(covered)} pixels; "
            "give each pixel to one of them, or convert with overlap='first' or 'smallest'"
        )
    return instance.mask

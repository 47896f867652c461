"""The classes of a model, where they are not one by one the categories of the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dense3d.datasets.panoptic.files import PanopticFile, labels_of
from dense3d.datasets.panoptic.id_map import VOID


@dataclass(frozen=True, eq=False)
class EvaluatedClasses:
    """Classes as categories of the ground truth.

    Categories that are no class are void, as they are in training: what is predicted there is neither right
    nor wrong. Several categories may be one class (by aliases); their stuff is then one segment.

    Args:
        categories: one a class, in the file's order; of several, the first of the file.
        positions: category id -> position of its class in ``categories``.
        category_ids: ``(C,)`` category id of each label.
        left_out: how many categories of the file are no class.
    """

    categories: list[dict[str, Any]]
    positions: dict[int, int]
    category_ids: np.ndarray
    left_out: int

    @classmethod
    def of(
        cls, truth: PanopticFile, classes: Sequence[str], aliases: dict[str, str] | None = None
    ) -> EvaluatedClasses:
        """The classes of a data set.

        Raises:
            DataError: a class is no category of the file.
        """
        labels = labels_of(truth, classes, aliases)  # in the file's order
        first: dict[int, int] = {}
        for number, label in labels.items():
            first.setdefault(label, number)
        order = {label: position for position, label in enumerate(first)}
        return cls(
            [{**truth.categories[number], "name": str(classes[label])} for label, number in first.items()],
            {number: order[label] for number, label in labels.items()},
            np.array([first[label] for label in sorted(first)], dtype=np.int64),
            len(truth.categories) - len(labels),
        )

    def ground_truth(self, ids: np.ndarray, segments: list[dict]) -> tuple[np.ndarray, list[dict]]:
        """A map ``(H, W)`` of ids and its segments, with those of the classes only."""
        if self.left_out == 0 and len(self.categories) == len(self.positions):
            return ids, segments
        kept: list[dict] = []
        renamed: dict[int, int] = {}
        stuff: dict[int, dict] = {}
        for segment in segments:
            position = self.positions.get(segment["category_id"])
            if position is None:
                renamed[segment["id"]] = VOID
                continue
            merged = None if self.categories[position]["isthing"] else stuff.get(position)
            if merged is None or merged["category_id"] == segment["category_id"]:
                kept.append(dict(segment))
                stuff.setdefault(position, kept[-1])
            else:
                renamed[segment["id"]] = merged["id"]
                merged["area"] = merged["area"] + segment["area"]
        changed = ids.copy()
        for number, other in renamed.items():
            changed[ids == number] = other
        return changed, kept

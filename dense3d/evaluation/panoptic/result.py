"""Panoptic quality of a data set: figures for people and programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from dense3d.evaluation.panoptic.matching import ImageMatch

GROUPS = ("all", "things", "stuff")


@dataclass(frozen=True, eq=False)
class PanopticResult:
    """Counts of every class, and the qualities that follow from them.

    Args:
        categories: ``id``, ``name`` and ``isthing`` of the classes, (C) in all.
        iou_sum: ``(C,)`` sum of the overlaps of the true positives.
        tp, fp, fn: ``(C,)`` true positives, false positives and false negatives.
        images: how many were evaluated.
        notices: what a reader should know beside the numbers, a sentence each.
    """

    categories: list[dict[str, Any]]
    iou_sum: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    images: int
    notices: list[str] = field(default_factory=list)

    @property
    def occurs(self) -> np.ndarray:
        """``(C,)`` whether a class was annotated or predicted; only such enter the means."""
        return self.tp + self.fp + self.fn > 0

    @property
    def qualities(self) -> np.ndarray:
        """``(C, 3)`` PQ = SQ x RQ, SQ (mean overlap of the true positives) and RQ (an F1 score), in 0 .. 1.

        PQ = sum of overlaps / (TP + FP / 2 + FN / 2); 0 for classes that do not occur.
        """
        total = np.where(self.occurs, self.tp + 0.5 * self.fp + 0.5 * self.fn, 1)
        return np.stack(
            [self.iou_sum / total, self.iou_sum / np.maximum(self.tp, 1), self.tp / total], axis=1
        )

    def group(self, name: str) -> tuple[float, float, float, int]:
        """Mean PQ, SQ and RQ over the classes of a group that occur, and their number.

        Args:
            name: ``"all"``, ``"things"`` or ``"stuff"``. Without such a class the means are NaN.
        """
        things = np.array([category["isthing"] == 1 for category in self.categories], dtype=bool)
        members = {"all": np.ones_like(things), "things": things, "stuff": ~things}[name]
        rows = self.qualities[members & self.occurs].tolist()
        if not rows:
            return float("nan"), float("nan"), float("nan"), 0
        # One after another, as the official evaluator adds: NumPy's sum differs in the last digits.
        pq, sq, rq = (reduce(add, column, 0.0) / len(rows) for column in zip(*rows))
        return pq, sq, rq, len(rows)

    def flat(self) -> dict[str, float]:
        """One number a name, for loggers: ``PQ``, ``SQ``, ``RQ``, with ``_th`` of things, ``_st`` stuff."""
        return {
            f"{quality}{suffix}": value
            for suffix, group in (("", "all"), ("_th", "things"), ("_st", "stuff"))
            for quality, value in zip(("PQ", "SQ", "RQ"), self.group(group))
        }

    def to_dict(self) -> dict[str, Any]:
        """All figures in JSON's types, in 0 .. 1; null where a group is empty."""
        groups = {name: self.group(name) for name in GROUPS}
        counts = zip(self.tp.tolist(), self.fp.tolist(), self.fn.tolist(), self.iou_sum.tolist())
        classes = [
            {
                "id": category["id"],
                "name": _name(category),
                "isthing": int(category["isthing"]),
                **dict(zip(("pq", "sq", "rq"), row)),
                **dict(zip(("tp", "fp", "fn", "iou_sum"), count)),
            }
            for category, row, count in zip(self.categories, self.qualities.tolist(), counts)
        ]
        means = {
            name: dict(zip(("pq", "sq", "rq"), map(_number, values[:3])), n=values[3])
            for name, values in groups.items()
        }
        return {"images": self.images, **means, "classes": classes, "notices": self.notices}

    def table(self, classwise: bool = True) -> str:
        """Qualities in percent as text: the groups and, below them, the classes that occur."""
        rows = [("", "PQ", "SQ", "RQ", "classes")]
        rows += [(name, *map(_percent, values[:3]), str(values[3])) for name, values in self._groups()]
        text = _aligned(rows)
        if classwise:
            rows = [("class", "kind", "PQ", "SQ", "RQ", "TP", "FP", "FN")]
            values = zip(self.categories, self.qualities, self.tp, self.fp, self.fn, self.occurs)
            rows += [
                (_name(c), "thing" if c["isthing"] else "stuff", *map(_percent, q), *map(str, counts))
                for c, q, *counts, occurs in values
                if occurs
            ]
            text += "\n\n" + _aligned(rows, left=2)
        return text

    def _groups(self) -> list[tuple[str, tuple[float, float, float, int]]]:
        return [(name, self.group(name)) for name in GROUPS]


def summarise(
    categories: list[dict[str, Any]], matches: list[ImageMatch], images: int, notices: list[str] | None = None
) -> PanopticResult:
    """Counts of all images.

    Args:
        categories: the classes that the matches' positions refer to.
        matches: of the images, or of groups of them, in the images' order.
        images: how many those are.
        notices: see :class:`PanopticResult`.
    """
    total, count = ImageMatch.joined(matches), len(categories)
    return PanopticResult(
        categories,
        np.bincount(total.found, total.ious, count),  # adds in order, as the official evaluator does
        *(np.bincount(classes, minlength=count) for classes in (total.found, total.false, total.missed)),
        images=images,
        notices=notices or [],
    )


def _aligned(rows: list[tuple[str, ...]], left: int = 1) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths)))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _name(category: dict[str, Any]) -> str:
    return str(category.get("name", category["id"]))


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value

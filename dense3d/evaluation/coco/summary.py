"""What an evaluation by pycocotools comes to: named figures, each with the detections that it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from prettytable import PrettyTable

from dense3d.errors import ConfigError, did_you_mean

PROTOCOL_LIMIT = 100  # detections an image and class in COCO's average precision
AREAS = {"": "all", "_s": "small", "_m": "medium", "_l": "large"}
SIZES = {
    "small": "smaller than 32 x 32 pixels",
    "medium": "of 32 x 32 to 96 x 96 pixels",
    "large": "larger than 96 x 96 pixels",
}
PRECISIONS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


def precision_limit(limits: Sequence[int]) -> int:
    """Detections an image and class that ``mAP`` counts; its details count the most of ``limits``."""
    return PROTOCOL_LIMIT if PROTOCOL_LIMIT in limits else max(limits)


def recall_items(limits: Sequence[int]) -> tuple[str, ...]:
    """Names of the average recalls: by number of detections, and of the largest number by size."""
    most = max(limits)
    return (*(f"AR@{limit}" for limit in sorted(limits)), *(f"AR_{s}@{most}" for s in "sml"))


def check_items(items: Sequence[str], limits: Sequence[int]) -> None:
    """Refuse names of figures that there are not.

    Raises:
        ConfigError: the first of them, with the nearest names.
    """
    known = (*PRECISIONS, *recall_items(limits))
    for item in items:
        if item not in known:
            hint = did_you_mean(item, known) or f"; there are {', '.join(known)}"
            raise ConfigError(f"metric_items of the COCO metric: there is no figure {item!r}{hint}")


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        name: ``mAP_50`` ...
        value: in 0 .. 1; NaN where no object counts.
        overlap: the IoU, or the range of them, that makes a detection right.
        area: ``all``, ``small``, ``medium`` or ``large``.
        limit: detections an image and class that count.
    """

    name: str
    value: float
    overlap: str
    area: str
    limit: int


class Summary:
    """Figures of an evaluation.

    Args:
        evaluation: pycocotools' ``COCOeval`` after ``accumulate``.
    """

    def __init__(self, evaluation: Any) -> None:
        self.params = evaluation.params
        self.precision, self.recall = evaluation.eval["precision"], evaluation.eval["recall"]

    def figure(self, name: str) -> Figure:
        """The figure of that name, equal to pycocotools' where the limits are its own."""
        limits = list(self.params.maxDets)
        if name.startswith("AR"):
            kind, _, limit = name.partition("@")
            area = AREAS[kind.removeprefix("AR")]
            values = self.recall[:, :, self._area(area), limits.index(int(limit))]
            return Figure(name, _mean(values), self._overlaps(), area, int(limit))
        suffix = name.removeprefix("mAP")
        limit = max(limits) if suffix else precision_limit(limits)
        overlap = int(suffix[1:]) / 100 if suffix[1:].isdigit() else None
        area = AREAS.get(suffix, "all")
        return Figure(
            name, self.average(overlap, area, limit), self._overlaps(overlap), area, limit
        )  # fmt: skip

    def average(
        self, overlap: float | None, area: str, limit: int, category: int | slice = slice(None)
    ) -> float:
        """Mean precision at one overlap or at all, of one class (its position) or of all."""
        wanted = slice(None) if overlap is None else np.isclose(self.params.iouThrs, overlap)
        values = self.precision[wanted][
            :, :, category, self._area(area), list(self.params.maxDets).index(limit)
        ]
        return _mean(values)

    def by_class(self, names: Sequence[str]) -> list[list[Any]]:
        """Rows of a class each: its name, then AP as in :data:`PRECISIONS`, all of the largest limit."""
        most = max(self.params.maxDets)
        kinds = [
            (None, "all"),
            (0.5, "all"),
            (0.75, "all"),
            (None, "small"),
            (None, "medium"),
            (None, "large"),
        ]
        return [
            [name, *(self.average(overlap, area, most, position) for overlap, area in kinds)]
            for position, name in enumerate(names)
        ]

    def absent(self, figures: Sequence[Figure]) -> str:
        """Why figures are NaN, in one sentence, or an empty one."""
        missing = [figure for figure in figures if np.isnan(figure.value)]
        lacking = [figure.overlap for figure in missing if not self._has(figure)]
        sizes = list(dict.fromkeys(SIZES.get(f.area, "of the classes") for f in missing if self._has(f)))
        if "of the classes" in sizes:  # then there is none of any size
            sizes = ["of the classes"]
        reasons = [f"iou_thrs has no {overlap}" for overlap in lacking]
        reasons += [f"no object of the evaluated images is {' or '.join(sizes)}"] if sizes else []
        names = ", ".join(figure.name for figure in missing)
        return f"{names}: n/a, since {' and '.join(reasons)}" if missing else ""

    def _has(self, figure: Figure) -> bool:
        """Whether the overlap of a figure is among those that were evaluated."""
        overlap = figure.name.removeprefix("mAP_")
        return not overlap.isdigit() or bool(np.isclose(self.params.iouThrs, int(overlap) / 100).any())

    def _area(self, name: str) -> int:
        return self.params.areaRngLbl.index(name)

    def _overlaps(self, overlap: float | None = None) -> str:
        thresholds = np.atleast_1d(self.params.iouThrs) if overlap is None else np.array([overlap])
        ends = dict.fromkeys(f"{value:.2f}" for value in (thresholds[0], thresholds[-1]))
        return ":".join(ends)


def table(figures: Sequence[Figure]) -> str:
    """The figures with what they count."""
    rows = PrettyTable(["figure", "value", "IoU", "objects", "detections an image and class"], align="l")
    for figure in figures:
        rows.add_row([figure.name, shown(figure.value), figure.overlap, figure.area, figure.limit])
    return rows.get_string()


def class_table(rows: Sequence[Sequence[Any]]) -> str:
    """The rows of :meth:`Summary.by_class`."""
    content = PrettyTable(["category", *PRECISIONS], align="l")
    for name, *values in rows:
        content.add_row([name, *map(shown, values)])
    return content.get_string()


def shown(value: float) -> str:
    """Three decimals, or ``n/a``."""
    return "n/a" if np.isnan(value) else f"{value:.3f}"


def _mean(values: np.ndarray) -> float:
    """Of the entries that are defined; pycocotools marks the others by -1."""
    defined = values[values > -1]
    return float(np.mean(defined)) if defined.size else float("nan")

"""What an evaluation of 3D boxes gives, and its forms for people and programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.errors import ConfigError
from dense3d.evaluation.boxes3d.average_precision import ClassFigures
from dense3d.files import atomic_write

SUFFIXES = (".json", ".csv")


@dataclass(frozen=True, eq=False)
class Boxes3DResult:
    """Figures of one evaluation, in 0..1.

    Args:
        protocol: its name, which every output repeats.
        classes: C names.
        thresholds: T IoUs.
        figures: of every class at every threshold.
        scenes: how many were evaluated.
        notices: what a reader should know beside the numbers, a sentence each.
    """

    protocol: str
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    figures: ClassFigures
    scenes: int
    notices: tuple[str, ...] = ()

    @property
    def means(self) -> dict[str, float]:
        """``AP25``, ``AR25`` and so on: means over the classes that ground truth or predictions have."""
        found = {}
        for t, threshold in enumerate(self.thresholds):
            for name, values in self._kinds():
                occur = values[t][np.isfinite(values[t])]
                found[f"{name}{_percent(threshold)}"] = float(occur.mean()) if len(occur) else float("nan")
        return found

    def flat(self) -> dict[str, float]:
        """One number a name, for loggers: the means, and ``AP25_chair`` of each class that occurs."""
        figures = self.means
        for name, values in self._kinds():
            for t, threshold in enumerate(self.thresholds):
                for c in np.flatnonzero(np.isfinite(values[t])):
                    label = self.classes[c].replace(" ", "-")
                    figures[f"{name}{_percent(threshold)}_{label}"] = float(values[t, c])
        return figures

    def rows(self) -> list[dict[str, Any]]:
        """A row a class, and the means as the last one; None where a class does not occur."""
        names = [(n, values) for n, values in self._kinds()]
        rows = []
        for c, label in enumerate(self.classes):
            row: dict[str, Any] = {"class": label}
            row["ground_truths"] = int(self.figures.ground_truths[c])
            row["detections"] = int(self.figures.detections[c])
            for t, threshold in enumerate(self.thresholds):
                row |= {f"{n}{_percent(threshold)}": _number(v[t, c]) for n, v in names}
            rows.append(row)
        totals = {"class": "mean", "ground_truths": int(self.figures.ground_truths.sum())}
        totals["detections"] = int(self.figures.detections.sum())
        return [*rows, totals | {name: _number(value) for name, value in self.means.items()}]

    def to_dict(self) -> dict[str, Any]:
        """All figures in JSON's types."""
        *classes, means = self.rows()
        return {
            "protocol": self.protocol,
            "scenes": self.scenes,
            "mean": means,
            "classes": classes,
            "notices": list(self.notices),
        }

    def table(self) -> str:
        """The figures as text, under the protocol's name."""
        rows = self.rows()
        names = list(rows[0])
        cells = [names, *([_cell(row[name]) for name in names] for row in rows)]
        widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
        lines = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells
        ]
        return "\n".join([f"protocol {self.protocol}, {self.scenes} scenes", *lines])

    def write(self, path: str | Path) -> None:
        """Write all figures, ``.json`` or, a row a class, ``.csv``; whole or not at all.

        Raises:
            ConfigError: another suffix.
        """
        path = require_result_name(path)
        if path.suffix == ".json":
            text = json.dumps(self.to_dict(), indent=1)
        else:
            buffer = io.StringIO()
            rows = [{"protocol": self.protocol, **row} for row in self.rows()]
            writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            text = buffer.getvalue()
        with atomic_write(path, "w") as file:
            file.write(text)

    def _kinds(self) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]:
        return ("AP", self.figures.average_precision), ("AR", self.figures.recall)


def require_result_name(path: str | Path) -> Path:
    """The path, if its suffix is one that figures are written with.

    Raises:
        ConfigError: it is not.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: figures are written as {' or '.join(SUFFIXES)}")
    return path


def _percent(threshold: float) -> str:
    return f"{100 * threshold:g}"


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)

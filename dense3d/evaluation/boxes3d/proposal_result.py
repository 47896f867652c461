"""What an evaluation of proposals gives, and its forms for people and programs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.evaluation.boxes3d.result import require_result_name
from dense3d.files import atomic_write
from dense3d.json_files import write_json


@dataclass(frozen=True, eq=False)
class ProposalResult:
    """Figures of one evaluation, in 0..1.

    Args:
        protocol: its name, which every output repeats.
        thresholds: T IoUs.
        average_precision: T of them.
        recalls: number of proposals of a scene to ``recall25``, ``recall50`` and ``AR``.
        scenes, ground_truths, detections: how many there were.
        auxiliary: measures that the official evaluator has and nobody reports; only files hold them.
        notices: what a reader should know beside the numbers, a sentence each.
    """

    protocol: str
    thresholds: tuple[float, ...]
    average_precision: tuple[float, ...]
    recalls: dict[int, dict[str, float]]
    scenes: int
    ground_truths: int
    detections: int
    auxiliary: dict[str, float]
    notices: tuple[str, ...] = ()

    def flat(self) -> dict[str, float]:
        """One number a name: ``AP25``, ``recall50_top300``, ``AR_top300`` and so on."""
        figures = {f"AP{100 * t:g}": float(v) for t, v in zip(self.thresholds, self.average_precision)}
        for limit, values in self.recalls.items():
            figures |= {f"{name}_top{limit}": value for name, value in values.items()}
        return figures

    def to_dict(self) -> dict[str, Any]:
        """All figures in JSON's types."""
        counts = {name: getattr(self, name) for name in ("scenes", "ground_truths", "detections")}
        figures = {name: _number(value) for name, value in self.flat().items()}
        found = {"protocol": self.protocol, **counts, "figures": figures, "auxiliary": self.auxiliary}
        return {**found, "notices": list(self.notices)}

    def table(self) -> str:
        """The figures as text, under the protocol's name."""
        counts = f"{self.ground_truths} objects, {self.detections} proposals"
        precision = [f"AP{100 * t:g} {_cell(v)}" for t, v in zip(self.thresholds, self.average_precision)]
        lines = [f"protocol {self.protocol}, {self.scenes} scenes", counts, "  ".join(precision)]
        for limit, values in self.recalls.items():
            cells = "  ".join(f"{name} {_cell(value)}" for name, value in values.items())
            lines.append(f"best {limit:>4} of a scene: {cells}")
        return "\n".join(lines)

    def write(self, path: str | Path) -> None:
        """Write all figures, ``.json`` or ``.csv`` of one row; whole or not at all.

        Raises:
            ConfigError: another suffix.
        """
        path = require_result_name(path)
        content = self.to_dict()
        if path.suffix == ".json":
            write_json(path, content)
            return
        row = {name: value for name, value in content.items() if isinstance(value, (str, int))}
        row |= content["figures"]
        with atomic_write(path, "w") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerow(row)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"

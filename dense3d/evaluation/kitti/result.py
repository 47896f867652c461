"""What an evaluation gives, and its forms for people and programs: numbers, tables, pictures of the curves.

40 recall points after Simonelli et al., "Disentangling monocular 3D object detection", ICCV 2019.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.evaluation.kitti.protocol import (
    DIFFICULTIES,
    LIMIT_SETS,
    METRICS,
    OVERLAPS,
    RECALL_POINTS,
    Protocol,
)
from dense3d.files import atomic_write

TITLES = {"bbox": "2D", "aos": "AOS", "bev": "BEV", "3d": "3D"}
COLORS = ("#2a9d4a", "#e08a1e", "#c1272d")
STYLES = {"strict": "-", "loose": ":"}


@dataclass(frozen=True, eq=False)
class KittiResult:
    """Curves of one evaluation.

    Args:
        protocol: the rules.
        curves: (strict or loose, metric of ``METRICS``, class, difficulty, 41) precision, or similarity for
            ``aos``, at the recalls 0, 1/40 ... 1; NaN for ``aos`` where a detection has no angle.
        ground_truths: (class, difficulty) counted labels.
        frames: how many were evaluated.
        detections: how many lines the results have.
    """

    protocol: Protocol
    curves: np.ndarray
    ground_truths: np.ndarray
    frames: int
    detections: int

    @property
    def ap11(self) -> np.ndarray:
        """(strict or loose, metric, class, difficulty) percent over eleven recalls, 0 among them."""
        return ap11(self.curves)

    @property
    def ap40(self) -> np.ndarray:
        """(strict or loose, metric, class, difficulty) percent over forty recalls, official since 2019."""
        return ap40(self.curves)

    def limit(self, limit_set: int, metric: str, index: int) -> float:
        """The overlap that a match must exceed."""
        overlap = OVERLAPS.index("bbox" if metric == "aos" else metric)
        return self.protocol.limits[limit_set][overlap][index]

    def to_dict(self) -> dict[str, Any]:
        """All figures in JSON's types; null where there is no orientation."""
        classes = {name: self._class_dict(c) for c, name in enumerate(self.protocol.classes)}
        return {"frames": self.frames, "detections": self.detections, "classes": classes}

    def flat(self, points: int = 40) -> dict[str, float]:
        """One number a name, for loggers: ``"Car/3d_ap40_moderate_strict"``.

        Args:
            points: 11 or 40.
        """
        values = {11: self.ap11, 40: self.ap40}[points]
        names = {
            f"{name}/{metric}_ap{points}_{level}_{limits}": float(values[s, m, c, d])
            for c, name in enumerate(self.protocol.classes)
            for m, metric in enumerate(METRICS)
            for d, level in enumerate(DIFFICULTIES)
            for s, limits in enumerate(LIMIT_SETS)
        }
        return {name: value for name, value in names.items() if np.isfinite(value)}

    def notices(self) -> list[str]:
        """What a reader should know beside the numbers, a sentence each."""
        notices = []
        if np.isnan(self.curves[:, METRICS.index("aos")]).any():
            notices.append("no AOS, because a detection has no observation angle (alpha is -10)")
        for name, counted in zip(self.protocol.classes, self.ground_truths.tolist()):
            few = [f"{n} {level}" for n, level in zip(counted, DIFFICULTIES) if n < RECALL_POINTS - 1]
            if few:
                notices.append(
                    f"{name} has only {', '.join(few)} ground truths: with fewer than {RECALL_POINTS - 1} "
                    "the devkit's recall steps are too coarse, and even perfect results stay below 100"
                )
        return notices

    def table(self, points: tuple[int, ...] = (40, 11)) -> str:
        """Average precision in percent as text, a block a class."""
        return "\n\n".join(self._class_table(c, points) for c in range(len(self.protocol.classes)))

    def _class_dict(self, c: int) -> dict[str, Any]:
        values = {"ap11": self.ap11, "ap40": self.ap40}
        result: dict[str, Any] = {"ground_truths": dict(zip(DIFFICULTIES, self.ground_truths[c].tolist()))}
        for m, metric in enumerate(METRICS):
            result[metric] = {
                limits: {"overlap": self.limit(s, metric, c)}
                | {k: dict(zip(DIFFICULTIES, map(_number, v[s, m, c]))) for k, v in values.items()}
                for s, limits in enumerate(LIMIT_SETS)
            }
        return result

    def _class_table(self, c: int, points: tuple[int, ...]) -> str:
        heading = "".join(f"  {'AP' + str(p) + ': easy':>10} {'moderate':>8} {'hard':>8}" for p in points)
        counted = ", ".join(f"{n} {d}" for n, d in zip(self.ground_truths[c], DIFFICULTIES))
        lines = [f"{self.protocol.classes[c]} ({counted} ground truths)", f"{'metric':<12}{heading}"]
        shown = set()
        for s in range(len(LIMIT_SETS)):
            for m, metric in enumerate(METRICS):
                row = (metric, self.limit(s, metric, c))
                if row not in shown:  # 2D boxes have one limit
                    shown.add(row)
                    lines.append(self._line(s, m, c, points))
        return "\n".join(lines)

    def _line(self, s: int, m: int, c: int, points: tuple[int, ...]) -> str:
        values = {11: self.ap11, 40: self.ap40}
        cells = "".join("  {:>10} {:>8} {:>8}".format(*map(_cell, values[p][s, m, c])) for p in points)
        return f"{TITLES[METRICS[m]] + f' > {self.limit(s, METRICS[m], c):.2f}':<12}{cells}"


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def ap11(curves: np.ndarray) -> np.ndarray:
    """Average precision in percent over the recalls 0, 0.1 ... 1 of curves ``(..., 41)``."""
    return 100 * curves[..., ::4].mean(axis=-1)


def ap40(curves: np.ndarray) -> np.ndarray:
    """Average precision in percent over the recalls 1/40, 2/40 ... 1 of curves ``(..., 41)``."""
    return 100 * curves[..., 1:].mean(axis=-1)


def draw_curves(result: KittiResult, folder: str | Path) -> list[Path]:
    """Draw ``folder/<class>.png`` for each class: precision over recall, a panel a metric.

    Args:
        result: of an evaluation.
        folder: made if needed.

    Returns:
        the pictures.
    """
    return [_draw_class(result, index, Path(folder)) for index in range(len(result.protocol.classes))]


def _draw_class(result: KittiResult, index: int, folder: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for metric, axes in enumerate(figure.subplots(1, len(METRICS), sharey=True)):
        _draw_metric(axes, result, metric, index)
    name = result.protocol.classes[index]
    figure.suptitle(f"{name}, {result.frames} frames; in brackets AP40")
    path = folder / f"{name}.png"
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    with atomic_write(path) as file:
        file.write(content.getvalue())
    return path


def _draw_metric(axes, result: KittiResult, metric: int, index: int) -> None:
    recall = np.linspace(0, 1, RECALL_POINTS)
    curves, ap40 = result.curves[:, metric, index], result.ap40[:, metric, index]
    limits = [result.limit(s, METRICS[metric], index) for s in range(len(LIMIT_SETS))]
    for s, limit_set in enumerate(LIMIT_SETS):
        if limits[s] in limits[:s] or np.isnan(ap40[s]).any():
            continue
        for d, level in enumerate(DIFFICULTIES):
            label = f"{level} > {limits[s]:.2f} ({ap40[s, d]:.1f})"
            axes.plot(recall, curves[s, d], STYLES[limit_set], color=COLORS[d], label=label)
    axes.set(title=TITLES[METRICS[metric]], xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
    if metric == 0:
        axes.set_ylabel("precision")
    elif METRICS[metric] == "aos":
        axes.set_ylabel("orientation similarity")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower left", fontsize=7)
    else:
        axes.text(0.5, 0.5, "not available", ha="center")

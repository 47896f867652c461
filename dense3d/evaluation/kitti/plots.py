"""Precision-recall curves as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from dense3d.evaluation.kitti.protocol import DIFFICULTIES, LIMIT_SETS, METRICS, RECALL_POINTS
from dense3d.evaluation.kitti.result import TITLES, KittiResult
from dense3d.files import atomic_write

COLORS = ("#2a9d4a", "#e08a1e", "#c1272d")
STYLES = {"strict": "-", "loose": ":"}


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

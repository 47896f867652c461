"""Quality against cost of a parent with exits, for many trade-offs: a table, a file and a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from dense3d.files import atomic_write

if TYPE_CHECKING:
    from dense3d.early_exit.curve_loop import CurvePoint

MAIN = ("panoptic/PQ", "PQ", "coco/bbox_mAP", "bbox_mAP")


def exit_curve(
    config: str | Path | Config,
    checkpoint: str | Path,
    targets: str | Path,
    betas: Sequence[float],
    out: str | Path | None = None,
    work_dir: str | Path | None = None,
    options: dict[str, Any] | None = None,
) -> list[CurvePoint]:
    """Evaluate a parent at every exit, and with a gate for each trade-off.

    Gates are trained on the training images without augmentation, from kept features.

    Args:
        config: config of the parent.
        checkpoint: of the parent.
        targets: file of target depths, whatever its beta.
        betas: trade-offs.
        out: folder for ``curve.json`` and ``curve.png``.
        work_dir: folder for the log.
        options: settings that override the config's, by dotted key.

    Raises:
        ConfigError, DataError, CheckpointError: one sentence on what is wrong.
    """
    from dense3d.apis.setup import prepare_config
    from dense3d.config.building import explained_building
    from dense3d.early_exit.curve_loop import ExitCurveLoop
    from dense3d.early_exit.quality_loop import training_images
    from dense3d.engine import Runner

    cfg = prepare_config(config, options, work_dir, "none", ("train", "test"))
    cfg.test_cfg = dict(
        type=f"dense3d.{ExitCurveLoop.__name__}",
        targets=str(targets),
        betas=tuple(betas),
        train_dataset=training_images(cfg),
    )
    cfg.load_from, cfg.resume = str(checkpoint), False
    with explained_building(cfg):
        runner = Runner.from_cfg(cfg)
        runner.test()
    points = runner.test_loop.points
    if out is not None:
        with atomic_write(Path(out) / "curve.json", "w") as file:
            json.dump([asdict(point) for point in points], file, indent=1)
        figure = draw(points)
        with atomic_write(Path(out) / "curve.png") as file:
            figure.savefig(file, format="png", dpi=120)
    return points


def print_curve(points: Sequence[CurvePoint]) -> None:
    """A line for each fixed depth and each gate."""
    name = main_metric(points[0].metrics)
    table = Table("encoder", name, "GFLOPs", "mean depth", "images by depth")
    for point, following in zip(points, [*points[1:], None]):
        ends = following is not None and point.name.split()[0] != following.name.split()[0]
        cells = (f"{point.metrics[name]:.4f}", f"{point.gflops:.3f}", f"{point.depth:.2f}")
        table.add_row(point.name, *cells, " ".join(map(str, point.counts)), end_section=ends)
    console = Console()
    (console if console.is_terminal else Console(width=100)).print(table)


def main_metric(metrics: dict[str, float]) -> str:
    """The metric to show: PQ or box AP, or the first."""
    return next((name for name in MAIN if name in metrics), next(iter(metrics)))


def draw(points: Sequence[CurvePoint]):
    """Cost against quality: a matplotlib Figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    name = main_metric(points[0].metrics)
    for kind, style in (("depth", "s--"), ("beta", "o-")):
        chosen = sorted((p for p in points if p.name.startswith(kind)), key=lambda point: point.gflops)
        values = [point.metrics[name] for point in chosen]
        axes.plot([point.gflops for point in chosen], values, style, label=_LABELS[kind])
        for point, value in zip(chosen, values):
            axes.annotate(point.name.split()[1], (point.gflops, value), (3, 4), textcoords="offset points")
    axes.set(xlabel="GFLOPs (multiply-adds) of an image", ylabel=name)
    axes.legend()
    return figure


_LABELS = {"depth": "fixed depth", "beta": "gate, by beta"}

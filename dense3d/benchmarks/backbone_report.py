"""The report of a comparison of backbones: one table, as text, CSV and JSON, and a Pareto picture."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.evaluation.ranking import pareto_front
from dense3d.files import atomic_write

if TYPE_CHECKING:
    from dense3d.benchmarks.backbone_comparison import Comparison

COSTS = ("parameters (M)", "GMACs", "images/s", "memory (MB)")


def table_of(comparison: Comparison, tasks: Sequence[str]) -> list[list[str]]:
    """Rows of text, the heading first: place, name, mean standard score, each task's value, costs."""
    values = {(one.backbone, one.task): one for one in comparison.outcomes}
    measures = [
        next((one.measure for one in comparison.outcomes if one.task == task and one.measure), "-")
        for task in tasks
    ]
    heads = [f"{task} ({measure.rpartition('/')[2]})" for task, measure in zip(tasks, measures)]
    rows = [["place", "backbone", "score", *heads, *COSTS]]
    places = {one.name: one for one in comparison.ranking}
    unranked = [name for name in comparison.costs if name not in places]
    for name in [*places, *unranked]:
        found = [values.get((name, task)) for task in tasks]
        shown = ["-" if one is None or math.isnan(one.value) else f"{one.value:.3g}" for one in found]
        place = (
            [str(places[name].place), name, f"{places[name].score:+.2f}"]
            if name in places
            else ["-", name, "-"]
        )
        rows.append([*place, *shown, *_costs(comparison, name)])
    return rows


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, columns aligned.

    Example:
        >>> print(as_markdown([["a", "b"], ["1", "22"]]))
        | a | b  |
        |---|----|
        | 1 | 22 |
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def write_report(comparison: Comparison, tasks: Sequence[str]) -> None:
    """Write ``comparison.md``, ``.csv``, ``.json`` and, if a run has ended, ``pareto.png``."""
    rows = table_of(comparison, tasks)
    failed = [f"* {one.backbone}, {one.task}: {one.error}" for one in comparison.outcomes if one.error]
    with atomic_write(comparison.folder / "comparison.md", "w") as file:
        file.write(
            as_markdown(rows) + "\n" + ("\nNo result:\n\n" + "\n".join(failed) + "\n" if failed else "")
        )
    with atomic_write(comparison.folder / "comparison.csv", "w") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    document = {
        "outcomes": [
            asdict(one) | {"value": None if one.error else one.value} for one in comparison.outcomes
        ],
        "costs": {name: None if one is None else asdict(one) for name, one in comparison.costs.items()},
        "ranking": [asdict(one) for one in comparison.ranking],
    }
    with atomic_write(comparison.folder / "comparison.json", "w") as file:
        json.dump(document, file, indent=1)
    draw_pareto(comparison, comparison.folder / "pareto.png")


def draw_pareto(comparison: Comparison, path: Path) -> None:
    """Draw the mean standard score over each cost; those that nobody beats are joined."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [one for one in comparison.ranking if comparison.costs.get(one.name) is not None]
    if not shown:
        return
    costs = [comparison.costs[one.name] for one in shown]
    axes_of = {
        "GMACs of an image": [cost.gmacs for cost in costs],
        "parameters (M)": [cost.parameters / 1e6 for cost in costs],
        "milliseconds an image": [1000 / cost.images_per_second for cost in costs],
    }
    figure, axes = pyplot.subplots(1, len(axes_of), figsize=(6 * len(axes_of), 5), sharey=True)
    scores = [one.score for one in shown]
    for axis, (label, values) in zip(axes, axes_of.items()):
        front = pareto_front(values, scores)
        axis.plot([values[i] for i in front], [scores[i] for i in front], "-", color="tab:orange", zorder=1)
        colours = ["tab:orange" if i in front else "tab:gray" for i in range(len(shown))]
        axis.scatter(values, scores, c=colours, s=24, zorder=2)
        for index, one in enumerate(shown):
            if index in front or len(shown) <= 15:
                axis.annotate(
                    one.name,
                    (values[index], scores[index]),
                    fontsize=7,
                    xytext=(3, 3),
                    textcoords="offset points",
                )
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
        if values and min(values) > 0:
            axis.set_xscale("log")
    axes[0].set_ylabel("mean standard score over the tasks")
    figure.tight_layout()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)
    pyplot.close(figure)


def _costs(comparison: Comparison, name: str) -> list[str]:
    costs = comparison.costs.get(name)
    if costs is None:
        return ["-"] * len(COSTS)
    memory = "-" if costs.memory is None else f"{costs.memory / 2**20:.0f}"
    return [f"{costs.parameters / 1e6:.2f}", f"{costs.gmacs:.3f}", f"{costs.images_per_second:.0f}", memory]

"""A metric over iterations of several runs: a table and a plot, with the mean of runs that differ by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dense3d.apis.old_logs import OldSchedule
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import atomic_write, require_writable_file

Curve = dict[int, float]  # iteration -> value


def read_curve(run: str | Path, metric: str) -> Curve:
    """Values of an evaluation metric by training iteration, from the JSON logs in a work directory.

    Args:
        run: work directory of ``dense3d train``.
        metric: name in the log, such as ``coco/bbox_mAP_50``.

    Raises:
        DataError: there is no log, it holds no evaluation, or does not tell their iterations.
        ConfigError: the evaluations have no such metric; the message names a near one.
    """
    logs = sorted(Path(run).glob("*/vis_data/scalars.json"))
    if not logs:
        raise DataError(f"{run} holds no log of a training run (no */vis_data/scalars.json)")
    curve: Curve = {}
    known: set[str] = set()
    for log in logs:
        found, names = _evaluations(log, metric)
        known |= names
        curve |= found
    if not known:
        raise DataError(f"{run}: the log holds no evaluation yet; wait for the first one")
    if not curve and metric in known:
        raise DataError(
            f"{run}: the log does not say after which iteration {metric} was evaluated, since no loss was "
            "logged before; train again, or with a smaller default_hooks.logger.interval"
        )
    if not curve:
        hint = did_you_mean(metric, known) or f"; there are: {', '.join(sorted(known))}"
        raise ConfigError(f"{run}: no evaluation has the metric {metric!r}{hint}")
    return curve


def compare_runs(
    groups: Mapping[str, Sequence[str | Path]], metric: str, out: str | Path | None = None
) -> dict[str, list[Curve]]:
    """Curves of all runs by group; prints nothing, draws ``out`` if given.

    Args:
        groups: name -> work directories of runs that differ by seed only.
        metric: name in the logs.
        out: picture to write.
    """
    if out is not None:
        require_writable_file(out)
    curves = {name: [read_curve(run, metric) for run in runs] for name, runs in groups.items()}
    if out is not None:
        draw_comparison(curves, metric, out)
    return curves


def mean_curve(curves: Sequence[Curve]) -> dict[int, tuple[float, ...]]:
    """The values of all runs at the iterations where every run was evaluated."""
    common = set.intersection(*(set(curve) for curve in curves))
    return {iteration: tuple(curve[iteration] for curve in curves) for iteration in sorted(common)}


def paired_difference(first: Sequence[Curve], second: Sequence[Curve]) -> tuple[int, float, float]:
    """By how much the second group is better, run by run: the n-th runs of both share a seed.

    Returns:
        the last iteration that all runs were evaluated at, mean of the differences, its standard error.

    Raises:
        ConfigError: the groups differ in size or have fewer than two runs, or no common iteration.

    Example:
        >>> iteration, mean, error = paired_difference([{9: 1.0}, {9: 2.0}], [{9: 2.0}, {9: 5.0}])
        >>> iteration, float(mean), float(error)
        (9, 2.0, 1.0)
    """
    if len(first) != len(second) or len(first) < 2:
        counts = f"{len(first)} and {len(second)}"
        raise ConfigError(f"{counts} runs make no pairs: give as many of each, at least two")
    common = mean_curve([*first, *second])
    if not common:
        raise ConfigError("the runs were evaluated at no common iteration: compare runs of one schedule")
    last = max(common)
    differences = np.array([b[last] - a[last] for a, b in zip(first, second)])
    return last, differences.mean(), differences.std(ddof=1) / len(differences) ** 0.5


def print_comparison(curves: Mapping[str, Sequence[Curve]], metric: str) -> None:
    """One row an iteration; for each group the mean, and each run's value in brackets.

    Groups of as many runs as the first are also compared with it in pairs.
    """
    table = Table(title=metric)
    table.add_column("iteration", justify="right")
    for name, runs in curves.items():
        table.add_column(f"{name} (mean of {len(runs)})" if len(runs) > 1 else name)
    means = [mean_curve(runs) for runs in curves.values()]
    for iteration in sorted(set().union(*means)):
        cells = []
        for values in (mean.get(iteration, ()) for mean in means):
            each = f"  ({' '.join(f'{v:.3f}' for v in values)})" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{each}" if values else "")
        table.add_row(str(iteration), *cells)
    Console(soft_wrap=True).print(table)
    (base, reference), *others = curves.items()
    for name, runs in others:
        if len(runs) == len(reference) > 1:
            iteration, mean, error = paired_difference(reference, runs)
            print(
                f"{name} less {base} at iteration {iteration}: mean {mean:+.4f}, standard error {error:.4f}, "
                f"{len(runs)} pairs"
            )


def draw_comparison(
    curves: Mapping[str, Sequence[Curve]], metric: str, out: str | Path, place: str = "iteration"
) -> None:
    """Each run as a thin line, the mean of its group as a thick one.

    Args:
        curves: group -> its runs.
        metric: label of the values.
        out: picture to write.
        place: label of what they are over.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 4))
    for number, (name, runs) in enumerate(curves.items()):
        color = f"C{number}"
        if len(runs) > 1:
            for run in runs:
                axis.plot(sorted(run), [run[i] for i in sorted(run)], color=color, alpha=0.35, linewidth=1)
        mean = mean_curve(runs)
        axis.plot(list(mean), [np.mean(v) for v in mean.values()], color=color, marker=".", label=name)
    axis.set_xlabel(place)
    axis.set_ylabel(metric)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    with atomic_write(Path(out)) as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)


def _evaluations(log: Path, metric: str) -> tuple[Curve, set[str]]:
    """Values by iteration in one log, and the names of all metrics in it."""
    curve: Curve = {}
    known: set[str] = set()
    trained = evaluated = 0
    schedule = None
    for row in _rows(log):
        if "loss" in row:
            trained = int(row["iter"])
            continue
        names = {name for name in row if "/" in name}
        known |= names
        if not names:
            continue
        if "iter" in row:
            evaluated = int(row["iter"])
        else:  # a log of dense3d 0.1, or of mmengine
            schedule = schedule or OldSchedule.of(log)
            evaluated = schedule.iteration(int(row.get("step", 0)), trained, evaluated)
        if metric in row and evaluated:
            curve[evaluated] = float(row[metric])
    return curve, known


def _rows(log: Path) -> list[dict]:
    """Lines of a JSON log; the last one may be cut where a run was killed."""
    rows = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows

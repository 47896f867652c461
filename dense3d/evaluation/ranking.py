"""Ranking by several measures at once: the mean of standard scores, as "Battle of the Backbones" does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.errors import DataError

Measures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Ranked:
    """A contender's place.

    Attributes:
        name: of the contender.
        score: mean over tasks of its mean standard score in the task.
        scores: that of each task; a task that it was not measured in is not there.
        place: from 1.
    """

    name: str
    score: float
    scores: dict[str, float]
    place: int


def standard_scores(values: Mapping[str, float], lower_is_better: bool = False) -> dict[str, float]:
    """Distances to the mean in standard deviations (of the population); 0 where all are equal.

    Args:
        values: of each contender; those that are NaN are left out.
        lower_is_better: whether to turn the sign.

    Example:
        >>> standard_scores({"a": 1.0, "b": 3.0})
        {'a': -1.0, 'b': 1.0}
    """
    known = {name: float(value) for name, value in values.items() if not np.isnan(value)}
    if not known:
        return {}
    numbers = np.array(list(known.values()))
    spread = numbers.std()
    scores = (numbers - numbers.mean()) / spread if spread > 0 else np.zeros_like(numbers)
    return dict(zip(known, (-scores if lower_is_better else scores).tolist()))


def ranked(measures: Mapping[str, Measures], lower_is_better: Sequence[str] = ()) -> list[Ranked]:
    """Contenders by falling mean of standard scores; tasks weigh equally, as do the measures of a task.

    Runs that are missing are left out, not counted as 0: a contender's mean is over what it was measured in.

    Args:
        measures: task -> measure, such as a data set -> contender -> value.
        lower_is_better: measures whose small values are good.

    Raises:
        DataError: nobody was measured.

    Example:
        >>> found = ranked({"detection": {"coco": {"a": 40.0, "b": 50.0}}})
        >>> [(one.name, one.place, one.score) for one in found]
        [('b', 1, 1.0), ('a', 2, -1.0)]
    """
    by_task: dict[str, dict[str, list[float]]] = {}
    for task, settings in measures.items():
        for measure, values in settings.items():
            for name, score in standard_scores(values, measure in lower_is_better).items():
                by_task.setdefault(name, {}).setdefault(task, []).append(score)
    if not by_task:
        raise DataError("there is no result to rank: no run has ended")
    means = {
        name: {task: float(np.mean(scores)) for task, scores in tasks.items()}
        for name, tasks in by_task.items()
    }
    totals = {name: float(np.mean(list(tasks.values()))) for name, tasks in means.items()}
    order = sorted(totals, key=lambda name: (-totals[name], name))
    return [
        Ranked(name, totals[name], means[name], 1 + sum(other > totals[name] for other in totals.values()))
        for name in order
    ]


def task_correlations(
    measures: Mapping[str, Measures], of_ranks: bool = False
) -> dict[tuple[str, str], float]:
    """How alike tasks order the contenders that both measured: Pearson's correlation of mean standard scores.

    Args:
        measures: as for :func:`ranked`.
        of_ranks: take ranks instead of scores (Spearman).

    Returns:
        One figure a pair of tasks; NaN for fewer than three contenders, or where one task tells none apart.
    """
    rows = {one.name: one.scores for one in ranked(measures)}
    tasks = list(measures)
    found = {}
    for index, first in enumerate(tasks):
        for second in tasks[index + 1 :]:
            both = [scores for scores in rows.values() if first in scores and second in scores]
            a, b = (np.array([scores[task] for scores in both]) for task in (first, second))
            if of_ranks:
                a, b = _ranks(a), _ranks(b)
            known = len(both) >= 3 and a.std() > 0 and b.std() > 0
            found[first, second] = float(np.corrcoef(a, b)[0, 1]) if known else float("nan")
    return found


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Indices of those that nobody beats in both: cheaper, or as cheap and better. By rising cost.

    Example:
        >>> pareto_front([1.0, 2.0, 3.0], [5.0, 4.0, 6.0])
        [0, 2]
    """
    front, best = [], -np.inf
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -values[i])):
        if values[index] > best:
            front.append(index)
            best = values[index]
    return front


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share their mean rank."""
    return np.array([(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values])

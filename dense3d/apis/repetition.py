"""Tests that draw at random: the same test with several seeds, and how far its figures move."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np
from mmengine.config import Config

from dense3d.errors import ConfigError


@dataclass(frozen=True)
class Spread:
    """A figure over repetitions.

    Attributes:
        mean, deviation: the latter with the divisor n - 1; NaN of a single one.
        least, greatest: of the repetitions.
    """

    mean: float
    deviation: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of some numbers.

        Example:
            >>> Spread.of([0.25, 0.75, 0.5])
            Spread(mean=0.5, deviation=0.25, least=0.25, greatest=0.75)
        """
        values = np.asarray(list(values), dtype=np.float64)
        deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        return cls(float(values.mean()), deviation, float(values.min()), float(values.max()))


def repeated(cfg: Config, count: int, once: Callable[[Config], Mapping[str, float]]) -> dict[str, Spread]:
    """Run a test several times, each with the next seed.

    Args:
        cfg: of the test; its seed, or 0, is the first one.
        count: how many times.
        once: gives the figures of a config.

    Returns:
        the figures that every repetition gave.

    Raises:
        ConfigError: ``count`` is below 1.
    """
    if count < 1:
        raise ConfigError(f"repeat={count}: a test is run at least once")
    randomness = dict(cfg.get("randomness") or {})
    first = randomness.get("seed") or 0
    runs = []
    for seed in range(first, first + count):
        own = copy.deepcopy(cfg)
        own.randomness = {**randomness, "seed": seed}
        runs.append(once(own))
    names = [name for name, value in runs[0].items() if isinstance(value, Real)]
    return {name: Spread.of(run[name] for run in runs) for name in names if all(name in run for run in runs)}


def spread_table(spreads: Mapping[str, Spread], count: int) -> str:
    """Mean and spread of each figure as text.

    Example:
        >>> print(spread_table({"boxes3d/AP25": Spread(0.6, 0.01, 0.59, 0.61)}, 2))
        2 samplings      mean  deviation   least  greatest
        boxes3d/AP25   0.6000     0.0100  0.5900    0.6100
    """
    title = f"{count} samplings"
    width = max(len(title), *map(len, spreads))
    lines = [f"{title:<{width}}     mean  deviation   least  greatest"]
    for name, spread in spreads.items():
        values = (spread.mean, spread.deviation, spread.least, spread.greatest)
        cells = "  {:>7.4f}  {:>9.4f}  {:>6.4f}  {:>8.4f}".format(*values)
        lines.append(f"{name:<{width}}{cells}")
    return "\n".join(lines)

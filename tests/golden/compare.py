"""Comparison of a check's results with the stored ones, and its printed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tests.golden.kit import align


@dataclass(frozen=True)
class Row:
    """Verdict on one output of one check."""

    check: str
    output: str
    max_abs: float  # NaN where nothing could be compared
    max_rel: float  # over the values that are not zero
    failure: str  # why it fails, "" when it passes

    @property
    def passed(self) -> bool:
        """Whether the output is within its tolerance."""
        return not self.failure

    def __str__(self) -> str:
        name = f"{self.check}/{self.output}" if self.output else self.check
        verdict = "ok" if self.passed else f"FAIL  {self.failure}"
        return f"{name:<58} {self.max_abs:>10.3e} {self.max_rel:>10.3e}  {verdict}"


HEADER = f"{'check/output':<58} {'max abs':>10} {'max rel':>10}  verdict"


def failed(check: str, output: str, reason: str) -> Row:
    """A row for what could not be compared at all."""
    return Row(check, output, float("nan"), float("nan"), reason)


def compare_check(
    check: dict,
    stored: dict[str, np.ndarray],
    produced: dict[str, np.ndarray],
    slack: Mapping[str, float] | None = None,
) -> list[Row]:
    """One row for every output that the kit lists, stores or that was produced.

    Args:
        check: as in kit.json.
        stored, produced: outputs by name.
        slack: what is allowed of an output beside the check's tolerance, see :func:`rounding`.
    """
    names = dict.fromkeys([*check["outputs"], *stored, *produced])
    return [_compare_output(check, name, stored, produced, (slack or {}).get(name, 0.0)) for name in names]


def rounding(
    produced: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
    run: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]],
) -> dict[str, float]:
    """Four times how far outputs move with inputs moved by one unit in their last place, of three runs.

    Four times, since every operation of the reference rounded, and not its inputs alone.

    Args:
        produced: outputs by name, of ``run(inputs)``.
        inputs: arrays by name; those of floating point are moved, zeros stay.
        run: gives the outputs.
    """
    moved: dict[str, float] = {}
    for seed in range(3):
        generator = np.random.default_rng(seed)
        for name, values in run({key: _nudged(value, generator) for key, value in inputs.items()}).items():
            before, after = np.asarray(produced[name]), np.asarray(values)
            if before.shape == after.shape and before.dtype.kind == "f":
                difference = np.abs(before.astype(np.float64) - after)
                moved[name] = max(moved.get(name, 0.0), 4 * float(np.nanmax(difference, initial=0.0)))
    return {name: value for name, value in moved.items() if np.isfinite(value)}


def _nudged(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind != "f":
        return values
    ends = np.where(generator.random(values.shape) < 0.5, -np.inf, np.inf).astype(values.dtype)
    return np.where(values == 0, values, np.nextafter(values, ends))


def compare_texts(check: str, output: str, produced: np.ndarray, stored: np.ndarray) -> Row:
    """Lines of text: equal words, and numbers equal to one unit of their last decimal."""
    mine, theirs = ([str(line).split() for line in lines.ravel()] for lines in (produced, stored))
    if [len(words) for words in mine] != [len(words) for words in theirs]:
        return failed(
            check, output, f"{len(mine)} lines differ from {len(theirs)} in number or in their words"
        )
    pairs = [pair for a, b in zip(mine, theirs) for pair in zip(a, b)]
    errors = [_word_error(a, b) for a, b in pairs]
    wrong = [pair for pair, (error, allowed) in zip(pairs, errors) if error > allowed]
    failure = f"{len(wrong)} of {len(pairs)} words differ, the first is {wrong[0][0]!r}" if wrong else ""
    return Row(check, output, max((error for error, _ in errors), default=0.0), float("nan"), failure)


def _word_error(produced: str, stored: str) -> tuple[float, float]:
    """Difference and the one that is allowed; infinite for words that are no numbers and differ."""
    if produced == stored:
        return 0.0, 0.0
    try:
        error = abs(float(produced) - float(stored))
    except ValueError:
        return np.inf, 0.0
    return error, 1.001 * 10.0 ** -len(stored.partition(".")[2])


def _compare_output(check: dict, name: str, stored: dict, produced: dict, slack: float) -> Row:
    if name not in stored:
        listed = name in check["outputs"]
        reason = "listed in kit.json but not stored" if listed else "not an output of the kit"
        return failed(check["name"], name, reason)
    if name not in produced:
        return failed(check["name"], name, "not produced")
    if stored[name].dtype.kind == "U":
        return compare_texts(check["name"], name, produced[name], stored[name])
    tolerance = check["rtol"], check["atol"] + slack
    return compare_arrays(check["name"], name, produced[name], stored[name], *tolerance)


def compare_arrays(
    check: str, output: str, produced: np.ndarray, stored: np.ndarray, rtol: float, atol: float
) -> Row:
    """``|produced - stored| <= atol + rtol * |stored|`` everywhere; integers and booleans must be equal.

    Infinities and NaN must stand at the same places. ``stored`` may be a sub-sampling of ``produced``.
    """
    try:
        view = align(produced, stored)
    except ValueError as error:
        return failed(check, output, str(error))
    exact = stored.dtype.kind in "iub"
    mine, theirs = view.astype(np.float64), stored.astype(np.float64)
    same_kind = np.where(np.isfinite(theirs), np.isfinite(mine), (mine == theirs) | _both_nan(mine, theirs))
    finite = np.isfinite(mine) & np.isfinite(theirs)
    error, size = np.abs(mine[finite] - theirs[finite]), np.abs(theirs[finite])
    max_abs = error.max(initial=0.0)
    max_rel = (error[size > 0] / size[size > 0]).max(initial=0.0)
    beyond = view[finite] != stored[finite] if exact else error > atol + rtol * size
    failure = ""
    if not same_kind.all():
        failure = f"{np.count_nonzero(~same_kind)} of {theirs.size} values differ in being finite"
    elif beyond.any():
        rule = "not equal" if exact else f"beyond atol {atol:g} + rtol {rtol:g}"
        failure = f"{np.count_nonzero(beyond)} of {theirs.size} values {rule}"
    return Row(check, output, float(max_abs), float(max_rel), failure)


def _both_nan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.isnan(a) & np.isnan(b)

"""Timings as a table on the console, as Markdown and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from dense3d.benchmarks.timing import OURS, Timing
from dense3d.files import atomic_write

COLUMNS = ("case", "size", "direction", "implementation", "median", "min", "max", "ratio")
IMAGE_COLUMNS = ("images/s", "memory")


def milliseconds(seconds: float) -> str:
    """Three significant digits.

    Example:
        >>> milliseconds(0.012345), milliseconds(1.5), milliseconds(0.0000123)
        ('12.3 ms', '1500 ms', '0.0123 ms')
    """
    value = seconds * 1e3
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 4
    return f"{value:.{digits}f} ms"


def columns(timings: list[Timing]) -> tuple[str, ...]:
    """Titles of the columns; those of images only where calls have images."""
    return COLUMNS + IMAGE_COLUMNS if any(timing.images for timing in timings) else COLUMNS


def cells(timing: Timing) -> list[str]:
    """One line of the table; the ratio of a peer says how many times as long as ours it takes."""
    times = [milliseconds(t) for t in (timing.median, timing.minimum, timing.maximum)]
    ratio = "" if timing.contender == OURS else f"{timing.ratio:.2f}x"
    line = [timing.case, timing.size, timing.direction, timing.contender, *times, ratio]
    if timing.images:
        memory = "" if timing.memory is None else f"{timing.memory / 2**20:.0f} MiB"
        line += [f"{timing.images / timing.median:.3g}", memory]
    return line


def table(timings: list[Timing]) -> Table:
    """For the console; ``ratio`` is the peer's median over ours."""
    view = Table(
        *columns(timings),
        title="time a call; ratio = the peer's median / dense3d's (above 1: dense3d is faster)",
    )
    for column in view.columns[4:]:
        column.justify = "right"
    before: Timing | None = None
    for timing in timings:
        if before and (before.case, before.size, before.direction) != _group(timing):
            view.add_section()
        view.add_row(*cells(timing))
        before = timing
    return view


def _group(timing: Timing) -> tuple[str, str, str]:
    return timing.case, timing.size, timing.direction


def markdown(timings: list[Timing], machine: dict[str, str]) -> str:
    """The machine in one line, and the table."""
    lines = [", ".join(f"{key} {value}" for key, value in machine.items()), ""]
    titles = columns(timings)
    lines += [f"| {' | '.join(titles)} |", "|" + " --- |" * 4 + " ---: |" * (len(titles) - 4)]
    lines += [f"| {' | '.join(cells(timing))} |" for timing in timings]
    return "\n".join(lines) + "\n"


def write_markdown(file: str | Path, timings: list[Timing], machine: dict[str, str]) -> None:
    """Write :func:`markdown` to a file."""
    with atomic_write(file, "w") as stream:
        stream.write(markdown(timings, machine))


def write_json(file: str | Path, timings: list[Timing], machine: dict[str, str]) -> None:
    """Write the machine and all timings, in seconds."""
    with atomic_write(file, "w") as stream:
        json.dump({"machine": machine, "timings": [asdict(timing) for timing in timings]}, stream, indent=1)

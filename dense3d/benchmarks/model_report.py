"""Timings of models as a table on the console, as Markdown and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from dense3d.benchmarks.model_timing import ModelTiming
from dense3d.benchmarks.report import milliseconds
from dense3d.files import atomic_write

COLUMNS = ("step", "model", "run", "median", "min", "max", "images/s", "peak memory", "speed", "memory")


def cells(timing: ModelTiming) -> list[str]:
    """One line of the table; speed and memory are multiples of the first line's of the same step."""
    height, width = timing.size
    run = f"{timing.precision}, {'compiled' if timing.compiled else 'eager'}"
    memory = "" if timing.memory is None else f"{timing.memory / 2**20:.0f} MiB"
    return [
        f"{timing.mode}, batch {timing.batch}, {height}x{width}",
        timing.contender,
        run,
        *(milliseconds(seconds) for seconds in (timing.median, timing.minimum, timing.maximum)),
        f"{timing.batch / timing.median:.2f}",
        memory,
        f"{timing.speed:.2f}x",
        "" if timing.memory_ratio is None else f"{timing.memory_ratio:.2f}x",
    ]


def table(timings: list[ModelTiming]) -> Table:
    """For the console."""
    view = Table(*COLUMNS, title="a step; speed and memory: multiples of the first line's of the same step")
    for column in view.columns[3:]:
        column.justify = "right"
    for timing, following in zip(timings, [*timings[1:], None]):
        ends = following is not None and cells(following)[0] != cells(timing)[0]
        view.add_row(*cells(timing), end_section=ends)
    return view


def markdown(timings: list[ModelTiming], machine: dict[str, str]) -> str:
    """The machine in one line, and the table."""
    lines = [", ".join(f"{key} {value}" for key, value in machine.items()), ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * 3 + " ---: |" * 7]
    lines += [f"| {' | '.join(cells(timing))} |" for timing in timings]
    return "\n".join(lines) + "\n"


def write_markdown(file: str | Path, timings: list[ModelTiming], machine: dict[str, str]) -> None:
    """Write :func:`markdown` to a file."""
    with atomic_write(file, "w") as stream:
        stream.write(markdown(timings, machine))


def write_json(file: str | Path, timings: list[ModelTiming], machine: dict[str, str]) -> None:
    """Write the machine and all timings, in seconds and bytes."""
    with atomic_write(file, "w") as stream:
        json.dump({"machine": machine, "timings": [asdict(timing) for timing in timings]}, stream, indent=1)

"""Run model benchmarks; print their table, and write it as Markdown and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.model_timing import PRECISIONS, Conditions, ModelTiming, time_models
from dense3d.benchmarks.run import find_device, milliseconds
from dense3d.benchmarks.timing import machine
from dense3d.config.options import parse_size
from dense3d.errors import ConfigError
from dense3d.files import atomic_write

COLUMNS = ("step", "model", "run", "median", "min", "max", "samples/s", "peak memory", "speed", "memory")


def cells(timing: ModelTiming) -> list[str]:
    """One line of the table; speed and memory are multiples of the first line's of the same step."""
    height, width = timing.size
    extent = f"{height}x{width}" if timing.points is None else f"{timing.points} points"
    run = f"{timing.precision}, {'compiled' if timing.compiled else 'eager'}"
    memory = "" if timing.memory is None else f"{timing.memory / 2**20:.0f} MiB"
    return [
        f"{timing.mode}, batch {timing.batch}, {extent}",
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


def benchmark_models(
    only: list[str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    size: str = "800x1333",
    conditions: dict | None = None,
    tiny: bool = False,
    json_file: str | Path | None = None,
    markdown_file: str | Path | None = None,
) -> list[ModelTiming]:
    """Time the cases of the suite ``models``, print the machine and a table.

    Args:
        only: these cases and no others.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...
        threads: CPU threads of torch; torch's choice by default.
        size: ``"HEIGHTxWIDTH"`` of the images in pixels.
        conditions: what to combine, see :class:`Conditions`.
        tiny: smaller models, to try the benchmark itself.
        json_file: also write all timings there.
        markdown_file: also write the table there.

    Raises:
        ConfigError: an unknown case, device, size or precision, or no compiler where one is needed.
    """
    target = find_device(device)
    chosen = Conditions(size=parse_size(size), **(conditions or {}))
    unknown = [name for name in chosen.precisions if name not in PRECISIONS]
    if unknown:
        raise ConfigError(f"no precision is named {unknown[0]!r}; there are: {', '.join(PRECISIONS)}")
    cases = load_cases("models", only)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    try:
        facts = machine(target)
        console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
        timings = []
        for case in cases:
            with console.status(case.name):
                for group in time_models(case, chosen, target, tiny):
                    timings += group
    finally:
        torch.set_num_threads(before)
    console.print(table(timings))
    if json_file:
        write_json(json_file, timings, facts)
    if markdown_file:
        write_markdown(markdown_file, timings, facts)
    return timings

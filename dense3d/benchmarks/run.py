"""Run a benchmark suite; print its table, and write it as Markdown and JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.timing import OURS, Case, Timing, machine, time_case
from dense3d.errors import ConfigError
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
        title="time a call; ratio = the peer's time / dense3d's in turns (above 1: dense3d is faster)",
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


def benchmark(
    suite: str,
    only: list[str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    repeats: int = 7,
    json_file: str | Path | None = None,
    markdown_file: str | Path | None = None,
    cpu_time: bool = False,
    adapt: Callable[[list[Case]], list[Case]] = list,
) -> list[Timing]:
    """Time the cases of a suite, print the machine and a table with ratios.

    Args:
        suite: name in :data:`dense3d.benchmarks.SUITES`.
        only: these cases and no others.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...
        threads: CPU threads of torch and of dense3d's kernels while it runs; torch's choice by default.
        repeats: timings of each implementation; median, minimum and maximum are reported.
        json_file: also write all timings there.
        markdown_file: also write the table there.
        cpu_time: count the processor's seconds of this process instead of the clock's: for machines that
            others use, too. On a CPU, with one thread.
        adapt: changes the cases, such as their sizes.

    Raises:
        ConfigError: an unknown suite, case or device, or processor's seconds of several threads.
    """
    target = find_device(device)
    cases = adapt(load_cases(suite, only))
    before = torch.get_num_threads()
    if cpu_time and (target.type != "cpu" or (threads or before) > 1):
        raise ConfigError("--cpu-time adds up the seconds of all threads: give --device cpu --threads 1")
    torch.set_num_threads(threads or before)
    # On a terminal the table fits its width; in a file or a pipe no line is cut.
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    try:
        facts = machine(target)
        console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
        timings = []
        for index, case in enumerate(cases):
            with console.status(f"{case.name} ({index + 1} of {len(cases)})"):
                groups = time_case(
                    case, target, repeats, time.process_time if cpu_time else time.perf_counter
                )
                timings += [timing for group in groups for timing in group]
    finally:
        torch.set_num_threads(before)
    if timings:
        console.print(table(timings))
    for case in cases:
        if case.note:
            console.print(f"{case.name}: {case.note}", highlight=False)
    if json_file:
        write_json(json_file, timings, facts)
    if markdown_file:
        write_markdown(markdown_file, timings, facts)
    return timings


def find_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ConfigError: it is no device of torch, or this machine has not got it.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name!r} is no device of torch: use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"--device {name}: this machine has {count} CUDA devices; use --device cpu")
    return device

"""Run a benchmark suite, print its table and write it to files."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.report import table, write_json, write_markdown
from dense3d.benchmarks.timing import Timing, machine, time_case
from dense3d.errors import ConfigError


def benchmark(
    suite: str,
    only: list[str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    repeats: int = 7,
    json_file: str | Path | None = None,
    markdown_file: str | Path | None = None,
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

    Raises:
        ConfigError: an unknown suite, case or device.
    """
    target = find_device(device)
    cases = load_cases(suite, only)
    before = torch.get_num_threads()
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
                timings += [timing for group in time_case(case, target, repeats) for timing in group]
    finally:
        torch.set_num_threads(before)
    console.print(table(timings))
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

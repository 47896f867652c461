"""Run model benchmarks, print their table and write it to files."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.model_report import table, write_json, write_markdown
from dense3d.benchmarks.model_timing import PRECISIONS, Conditions, ModelTiming, time_models
from dense3d.benchmarks.run import find_device
from dense3d.benchmarks.timing import machine
from dense3d.config.options import parse_size
from dense3d.errors import ConfigError


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

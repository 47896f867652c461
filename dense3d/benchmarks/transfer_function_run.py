"""Run the suite ``transfer-function``: a table a volume, as it is measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.run import find_device
from dense3d.benchmarks.timing import machine
from dense3d.benchmarks.transfer_function import REPORTED, Quality, contenders, measure, sample_folder
from dense3d.errors import MissingDependencyError
from dense3d.files import atomic_write

COLUMNS = ("volume", "contender", *(f"Dice at {n}" for n in REPORTED), "a click", "worst", "preparation")


def cells(quality: Quality) -> list[str]:
    """One line of the table: Dice with its standard error over the seeds."""
    scores = [f"{mean:.3f} ± {error:.3f}" for mean, error in zip(quality.dice, quality.standard_errors)]
    times = [f"{quality.median:.3f} s", f"{quality.worst:.3f} s", f"{quality.prepared:.1f} s"]
    return [quality.volume, quality.contender, *scores, *times]


def markdown(results: list[Quality], facts: dict[str, str], rule: str) -> str:
    """The machine in one line, and the table."""
    lines = [", ".join(f"{key} {value}" for key, value in facts.items()) + f"; clicks by the rule {rule}", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * 2 + " ---: |" * (len(COLUMNS) - 2)]
    lines += [f"| {' | '.join(cells(result))} |" for result in results]
    return "\n".join(lines) + "\n"


def benchmark_transfer_function(
    only: list[str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    rule: str = "random",
    checkpoint: str | None = None,
    json_file: str | Path | None = None,
    markdown_file: str | Path | None = None,
) -> list[Quality]:
    """Measure all contenders on labelled volumes of the sample data; print a table.

    Args:
        only: these volumes and no others.
        device: for the line about the machine; methods choose theirs.
        threads: CPU threads of torch; torch's choice by default.
        rule: of the clicks, ``"random"`` or ``"error"``.
        checkpoint: file of a vision transformer, whose features take part, too.
        json_file: also write all figures there.
        markdown_file: also write the table there.

    Raises:
        ConfigError: an unknown volume, rule or device.
        DataError: a sample file is missing.
    """
    target, cases = find_device(device), load_cases("transfer-function", only)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    results: list[Quality] = []
    try:
        facts = machine(target)
        console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
        console.print(f"clicks by the rule {rule}", highlight=False)
        for case in cases:
            volume, truth = case.read(sample_folder())
            view = Table(
                *COLUMNS, title=f"{case.name} {'x'.join(map(str, truth.shape))}, {truth.max()} structures"
            )
            for name, make in contenders(checkpoint).items():
                try:
                    with console.status(f"{case.name}: {name}"):
                        results.append(measure(case, volume, truth, name, make, rule))
                    view.add_row(*cells(results[-1]))
                except MissingDependencyError as error:
                    console.print(f"left out: {name}: {error}", highlight=False)
            console.print(view)
    finally:
        torch.set_num_threads(before)
    if markdown_file:
        with atomic_write(markdown_file, "w") as stream:
            stream.write(markdown(results, facts, rule))
    if json_file:
        with atomic_write(json_file, "w") as stream:
            everything = {"machine": facts, "rule": rule, "results": [asdict(result) for result in results]}
            json.dump(everything, stream, indent=1)
    return results

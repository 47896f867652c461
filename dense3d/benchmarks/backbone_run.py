"""The suite ``backbones`` from the command line: ratios to peers, or how time grows with the image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dense3d.benchmarks.backbone_scaling import MIXERS, SIDES, draw_scaling, growths, time_scaling
from dense3d.benchmarks.image_workloads import at_sizes
from dense3d.benchmarks.run import benchmark, find_device
from dense3d.errors import ConfigError, did_you_mean


def benchmark_backbones(
    only: list[str] | None = None,
    sizes: Sequence[str] = (),
    batches: Sequence[int] = (),
    precisions: Sequence[str] = (),
    scaling_file: str | Path | None = None,
    repeats: int = 7,
    cpu_time: bool = False,
    threads: int | None = None,
    device: str = "cpu",
    **files: Any,
) -> None:
    """Time backbones beside their peers, or mixers over the size of images.

    Args:
        only: these cases, or mixers, and no others.
        sizes: sides of images in pixels.
        batches: images in a call, one number; of cases alone.
        precisions: of cases alone, see :func:`dense3d.benchmarks.image_workloads.at_sizes`.
        scaling_file: picture of time over the size; None for the ratios to peers.
        repeats, cpu_time, threads, device, files: see :func:`dense3d.benchmarks.run.benchmark`.

    Raises:
        ConfigError: an unknown case, mixer, size or precision, or options that do not fit.
    """
    sides = [_side(size) for size in sizes]
    if len(batches) > 1:
        raise ConfigError(
            f"--batch {' '.join(map(str, batches))}: backbones are timed at one batch at a time"
        )
    if scaling_file is None:
        adapt = partial(at_sizes, sides=sides, batch=batches[0] if batches else None, precisions=precisions)
        shared = dict(device=device, threads=threads, repeats=repeats, cpu_time=cpu_time, **files)
        benchmark("backbones", only, adapt=adapt, **shared)
        return
    given = {
        "--batch": batches,
        "--precision": precisions,
        "--json and --markdown": [*filter(None, files.values())],
    }
    for option, value in given.items():
        if value:
            raise ConfigError(
                f"--scaling draws one image in float32 and writes --out alone: leave {option} out"
            )
    for name in only or []:
        if name not in MIXERS:
            raise ConfigError(
                f"--scaling has no mixer {name!r}{did_you_mean(name, MIXERS)} (known: {', '.join(MIXERS)})"
            )
    sides = sides or list(SIDES)
    if len(sides) < 2:
        raise ConfigError(f"--size {sides[0]}: growth needs two sizes or more")
    clock = time.process_time if cpu_time else time.perf_counter
    mixers = [name for name in MIXERS if not only or name in only]
    seconds = time_scaling(mixers, sides, find_device(device), repeats, threads, clock)
    for line in growths(seconds):
        print(line)
    print(f"drawn: {draw_scaling(seconds, scaling_file)}")


def _side(size: str) -> int:
    if not size.isdigit() or not int(size) or int(size) % 32:
        raise ConfigError(f"--size {size}: the sides of backbones' images are multiples of 32, such as 224")
    return int(size)

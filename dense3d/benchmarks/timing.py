"""Time several implementations of one computation against each other, and how far memory grows."""

from __future__ import annotations

import ctypes
import gc
import math
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

OURS = "dense3d"
FORWARD, BOTH = "forward", "forward+backward"
Clock = Callable[[], float]
SHORTEST = 0.02  # seconds; quicker calls are timed several at once
LONGEST = 10.0  # seconds for all timings of a contender


@dataclass(frozen=True)
class Workload:
    """Inputs and the functions that are called with them; the first contender is ours."""

    inputs: tuple[Tensor, ...]
    contenders: dict[str, Callable]
    leaves: tuple[int, ...] = ()  # positions of the inputs to differentiate; none: forward only
    images: int = 0  # in a call; the table then has images a second and memory, too


@dataclass(frozen=True)
class Case:
    """One thing to time at several sizes: ``build(device, **size)`` makes the workload."""

    name: str
    build: Callable[..., Workload]
    sizes: dict[str, dict]  # words for people -> arguments of build
    tiny: dict = field(default_factory=dict)  # arguments for a run that costs nothing
    note: str = ""  # told with the timings, or in their place


@dataclass(frozen=True)
class Timing:
    """Seconds a call, over the repeats."""

    case: str
    size: str
    direction: str  # "forward" or "forward+backward"
    contender: str
    median: float
    minimum: float
    maximum: float
    ratio: float  # median over the turns of its time over ours: above 1 we are faster
    images: int = 0  # in a call
    memory: int | None = None  # bytes that a call adds at its peak; None: not measured


def time_case(
    case: Case, device: torch.device, repeats: int = 7, clock: Clock = time.perf_counter
) -> Iterator[list[Timing]]:
    """Timings of all contenders for each size and direction of a case.

    The contenders take turns (A B A B ...), so that a change of the machine's speed meets all of them, and
    are compared turn by turn. Each runs once beforehand, which compiles what has to be compiled. One whose
    timings add up to ten seconds is timed no more, twice at least.

    Args:
        case: what to time.
        device: where to run.
        repeats: turns.
        clock: gives seconds; ``time.process_time`` counts the work of this process alone.
    """
    for size, arguments in case.sizes.items():
        workload = case.build(device, **arguments)
        for direction in (FORWARD, BOTH) if workload.leaves else (FORWARD,):
            calls = {name: _call(workload, name, direction) for name in workload.contenders}
            seconds = _measure(calls, device, repeats, clock)
            memory = {n: peak_growth(call, device) for n, call in calls.items()} if workload.images else {}
            ours = next(iter(seconds.values()))
            yield [
                Timing(
                    case.name,
                    size,
                    direction,
                    name,
                    statistics.median(s),
                    min(s),
                    max(s),
                    statistics.median(theirs / our for theirs, our in zip(s, ours)),
                    workload.images,
                    memory.get(name),
                )
                for name, s in seconds.items()
            ]


def _call(workload: Workload, name: str, direction: str) -> Callable[[], None]:
    function = workload.contenders[name]

    def forward() -> None:
        with torch.no_grad():
            function(*workload.inputs)

    def both() -> None:
        inputs = [
            tensor.detach().requires_grad_() if i in workload.leaves else tensor
            for i, tensor in enumerate(workload.inputs)
        ]
        output = function(*inputs)
        output.backward(torch.ones_like(output))

    return forward if direction == FORWARD else both


def _measure(
    calls: dict[str, Callable], device: torch.device, repeats: int, clock: Clock
) -> dict[str, list[float]]:
    for call in calls.values():
        _seconds(call, device, 1, clock)
    numbers = {
        name: max(1, math.ceil(SHORTEST / max(_seconds(call, device, 1, clock), 1e-6)))
        for name, call in calls.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            if len(seconds[name]) < 2 or sum(seconds[name]) < LONGEST:
                seconds[name].append(_seconds(call, device, numbers[name], clock))
    return seconds


def _seconds(call: Callable[[], None], device: torch.device, number: int, clock: Clock) -> float:
    _synchronise(device)
    start = clock()
    for _ in range(number):
        call()
    _synchronise(device)
    return (clock() - start) / number


def seconds_of(
    call: Callable[[], object], device: torch.device, repeats: int, clock: Clock | None = None
) -> float:
    """Median seconds of a call without gradients, which runs once beforehand; one of a second, once more."""
    with torch.no_grad():
        clock = clock or time.perf_counter
        _seconds(call, device, 1, clock)
        first = max(_seconds(call, device, 1, clock), 1e-6)
        if first > 1.0:
            return first
        number = math.ceil(SHORTEST / first)
        return statistics.median(_seconds(call, device, number, clock) for _ in range(repeats))


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, str]:
    """What the figures depend on: processor, threads, device, versions."""
    facts = {
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "python": platform.python_version(),
    }
    for package in ("torch", "torchvision", "numba", "onedl-mmcv"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def _processor() -> str:
    """Name of the processor; Linux keeps it out of ``platform``."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peak_growth(run: Callable[[], None], device: torch.device) -> int | None:
    """Bytes by which memory grows while ``run`` runs, at most; on a CPU the process's, where Linux tells."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # give back what the C library keeps, or it would hide the growth
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
        before = _status("VmRSS")
        run()
        return max(0, _status("VmHWM") - before)
    except (OSError, AttributeError):
        run()
        return None


def _status(field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if match is None:
        raise OSError(f"/proc/self/status has no {field}")
    return int(match.group(1)) * 1024

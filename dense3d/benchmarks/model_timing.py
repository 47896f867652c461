"""Time and peak memory of one step of a model, in training and in inference."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from dense3d.benchmarks.models import Contender, ModelCase
from dense3d.benchmarks.timing import peak_growth
from dense3d.errors import ConfigError

TRAINING, INFERENCE = "training", "inference"
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Conditions:
    """What is combined: every contender in every way that it can run."""

    size: tuple[int, int] = (800, 1333)
    batches: tuple[int, ...] = (2, 1)
    modes: tuple[str, ...] = (INFERENCE, TRAINING)
    precisions: tuple[str, ...] = ("fp32", "bf16")
    compiled: tuple[bool, ...] = (False,)
    repeats: int = 7


@dataclass(frozen=True)
class ModelTiming:
    """Seconds a step and its peak memory; speed and memory as multiples of the case's first contender's."""

    case: str
    mode: str
    batch: int
    size: tuple[int, int]
    contender: str
    precision: str
    compiled: bool
    median: float
    minimum: float
    maximum: float
    memory: int | None  # bytes of weights, optimizer state and what the step adds; None: not measurable
    speed: float
    memory_ratio: float | None
    points: int | None = None  # of each cloud; then the size, of images, is of no account


def time_models(
    case: ModelCase, conditions: Conditions, device: torch.device, tiny: bool = False
) -> Iterator[list[ModelTiming]]:
    """Timings of all variants for each batch size and mode.

    The variants take turns, so that a change of the machine's speed meets all of them.

    Args:
        case: what to time.
        conditions: sizes and variants.
        device: where.
        tiny: with models that cost little.

    Raises:
        ConfigError: compiled variants are asked for where no compiler can be found.
    """
    if True in conditions.compiled:
        require_compiler(device)
    for batch, mode in itertools.product(conditions.batches, conditions.modes):
        inputs = case.batch(batch, conditions.size, device)
        steps = [
            Step(contender, mode, precision, compiled, inputs, device, tiny)
            for contender, precision, compiled in variants(case, mode, conditions)
        ]
        memory = [step.measure_memory() for step in steps]
        seconds = [[] for _ in steps]
        for _ in range(conditions.repeats):
            for step, taken in zip(steps, seconds):
                taken.append(step.seconds())
        base, base_memory = statistics.median(seconds[0]), memory[0]
        yield [
            ModelTiming(
                case.name,
                mode,
                batch,
                conditions.size,
                step.contender.name,
                step.precision,
                step.compiled,
                median := statistics.median(taken),
                min(taken),
                max(taken),
                used,
                base / median,
                used / base_memory if used and base_memory else None,
                case.points,
            )
            for step, taken, used in zip(steps, seconds, memory)
        ]
        del steps
        gc.collect()


def variants(case: ModelCase, mode: str, conditions: Conditions) -> Iterator[tuple[Contender, str, bool]]:
    """Contender, precision and whether compiled, for each variant that is to be run in ``mode``."""
    for contender in case.contenders:
        if mode == INFERENCE and not contender.infers:
            continue
        if contender.plain:
            yield contender, "fp32", False
        else:
            for precision, compiled in itertools.product(conditions.precisions, conditions.compiled):
                yield contender, precision, compiled


def require_compiler(device: torch.device) -> None:
    """torch.compile writes C++ for a CPU; for a GPU Triton compiles its launcher with a C compiler."""
    wanted = ("g++", "clang++") if device.type == "cpu" else ("gcc", "clang")
    named = os.environ.get("CXX" if device.type == "cpu" else "CC")
    if not any(map(shutil.which, filter(None, (named, *wanted)))):
        raise ConfigError(
            f"--compile on {device.type} needs {' or '.join(wanted)} on the PATH, and there is neither: "
            "install one or leave out --compile"
        )


class Step:
    """One step of one variant, ready to be repeated."""

    def __init__(
        self,
        contender: Contender,
        mode: str,
        precision: str,
        compiled: bool,
        inputs: tuple,
        device: torch.device,
        tiny: bool,
    ):
        self.contender, self.precision, self.compiled = contender, precision, compiled
        self.inputs, self.device = inputs, device
        self.model = contender.build(device, tiny).train(mode == TRAINING)
        self.run = self.train if mode == TRAINING else self.infer
        if mode == TRAINING:
            self.optimizer = torch.optim.AdamW(
                (p for p in self.model.parameters() if p.requires_grad), lr=1e-7
            )
        if compiled:
            self.model.forward = torch.compile(self.model.forward, dynamic=False)

    def train(self) -> None:
        """Losses, gradients and the optimizer's step."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._context():
            losses = self.model(*self.inputs, mode="loss")
        total, _ = self.model.parse_losses(losses)
        with self.contender.context():
            total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.1)
        self.optimizer.step()

    @torch.no_grad()
    def infer(self) -> None:
        """Detections."""
        with self._context():
            self.model(*self.inputs, mode="predict")

    @contextlib.contextmanager
    def _context(self) -> Iterator[None]:
        dtype = PRECISIONS[self.precision]
        autocast = torch.autocast(self.device.type, dtype, enabled=dtype is not None)
        with self.contender.context(), autocast:
            yield

    def seconds(self) -> float:
        """How long a step takes."""
        torch.manual_seed(0)
        self._synchronise()
        start = time.perf_counter()
        self.run()
        self._synchronise()
        return time.perf_counter() - start

    def measure_memory(self) -> int | None:
        """Run once to warm up, and once more for its peak; other variants' weights do not count."""
        self.run()
        if self.run == self.train:
            self.optimizer.zero_grad(set_to_none=True)
        growth = peak_growth(self.run, self.device)
        return None if growth is None else growth + self._held()

    def _held(self) -> int:
        tensors = [*self.model.parameters(), *self.model.buffers()]
        if self.run == self.train:
            states = self.optimizer.state.values()
            tensors += [v for state in states for v in state.values() if isinstance(v, torch.Tensor)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

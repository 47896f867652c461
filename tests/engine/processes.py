"""Tiny training runs as forked processes that can be killed, and comparison of what they leave."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import tiny_training
import torch
import torch._dynamo
import torchvision  # noqa: F401

import dense3d.engine  # noqa: F401
from dense3d import registry

ITERATIONS = 28

# Forked children share what is imported by now, so that a run takes a second and not ten.
for _registry in list(vars(registry).values()):
    if isinstance(_registry, registry.LazyRegistry):
        _registry.import_all()


def _child(work_dir: Path, environment: dict[str, str], options: dict) -> None:
    os.environ.update(environment)
    sys.stdout = sys.stderr = (work_dir / "output.txt").open("a", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tiny_training.train(str(work_dir), **options)


def start(work_dir: Path, environment: dict[str, str] | None = None, **options) -> multiprocessing.Process:
    """A training process of its own, with ``environment`` added to the variables of this one."""
    work_dir.mkdir(parents=True, exist_ok=True)
    process = multiprocessing.get_context("fork").Process(
        target=_child, args=(work_dir, environment or {}, options)
    )
    process.start()
    return process


def finish(work_dir: Path, **options) -> None:
    """Train to the end."""
    process = start(work_dir, **options)
    _wait(process, time.monotonic() + 120)
    assert process.exitcode == 0, (work_dir / "output.txt").read_text()[-3000:]


def losses(work_dir: Path, name: str = "losses.jsonl") -> list[dict]:
    """Records of all iterations made, repeated ones included; a kill may cut the last line off."""
    path = work_dir / name
    lines = path.read_text().splitlines() if path.exists() else []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def kill_when(
    process: multiprocessing.Process, reached: Callable[[], bool], how: int = signal.SIGKILL
) -> bool:
    """Send the signal as soon as ``reached()``; False if the run ended before."""
    deadline = time.monotonic() + 60
    while process.is_alive() and time.monotonic() < deadline:
        if reached():
            os.kill(process.pid, how)
            _wait(process, deadline)
            return True
        time.sleep(0.002)
    process.join(1)
    return False


def _wait(process: multiprocessing.Process, deadline: float) -> None:
    """Until it has ended; ``join(timeout)`` would wait for its orphaned data workers, too."""
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert not process.is_alive()


def being_written(work_dir: Path) -> bool:
    """Whether a checkpoint is half-written."""
    return any(work_dir.glob(".iter_*.tmp"))


def assert_same_run(work_dir: Path, reference: Path) -> None:
    """All losses and batches of all attempts are the reference's, and so is the final state: weights,
    averaged weights, optimiser with loss scaler, schedulers, place and random generators."""
    expected = {r["iter"]: r for r in losses(reference)}
    assert len(expected) == ITERATIONS
    found = losses(work_dir)
    assert {r["iter"] for r in found} == set(expected)
    for record in found:
        assert record == expected[record["iter"]]
    last = f"iter_{ITERATIONS}.pth"
    final, wanted = (torch.load(folder / last, weights_only=True) for folder in (work_dir, reference))
    for part in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "dense3d"):
        assert_same(final[part], wanted[part], part)


def assert_same(found: object, wanted: object, path: str) -> None:
    """Equal in every bit, through dicts and lists."""
    assert type(found) is type(wanted), path
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), path
        for key in wanted:
            assert_same(found[key], wanted[key], f"{path}.{key}")
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted), path
        for i, item in enumerate(wanted):
            assert_same(found[i], item, f"{path}[{i}]")
    elif isinstance(wanted, torch.Tensor):
        assert torch.equal(found, wanted), path
    else:
        assert found == wanted, path

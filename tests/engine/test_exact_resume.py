"""A run killed at any moment and resumed is, bit for bit, the run that was never killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import pytest
import tiny_training
import torch
import torchvision  # noqa: F401

# Forked children share what is imported here, so that a run takes a second and not ten.
import dense3d.engine  # noqa: F401

ITERATIONS = 28


def _child(work_dir: Path, options: dict) -> None:
    sys.stdout = sys.stderr = (work_dir / "output.txt").open("a", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tiny_training.train(str(work_dir), **options)


def start(work_dir: Path, **options) -> multiprocessing.Process:
    """A training process of its own."""
    work_dir.mkdir(parents=True, exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=_child, args=(work_dir, options))
    process.start()
    return process


def finish(work_dir: Path, **options) -> None:
    """Train to the end."""
    process = start(work_dir, **options)
    _wait(process, time.monotonic() + 120)
    assert process.exitcode == 0, (work_dir / "output.txt").read_text()[-3000:]


def losses(work_dir: Path) -> list[dict]:
    """Records of all iterations made, repeated ones included; a kill may cut the last line off."""
    path = work_dir / "losses.jsonl"
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


@pytest.fixture(scope="module")
def references(tmp_path_factory) -> Callable[[str], Path]:
    """Uninterrupted runs, one a loop."""
    done: dict[str, Path] = {}

    def reference(loop: str) -> Path:
        if loop not in done:
            done[loop] = tmp_path_factory.mktemp(f"reference_{loop}")
            finish(done[loop], loop=loop)
        return done[loop]

    return reference


@pytest.mark.parametrize(
    ("loop", "workers"), [("epoch", 0), ("epoch", 2), ("iter", 0), ("iter", 2), ("infinite", 2)]
)
def test_killed_at_random_moments(tmp_path, references, loop, workers):
    """SIGKILL between iterations, in an iteration and while a checkpoint is written, one after another."""
    moments = random.Random(f"{loop}{workers}")
    options = {"loop": loop, "workers": workers, "saving": 0.05, "loading": 0.002}
    for attempt in range(3):
        process = start(tmp_path, resume=attempt > 0, **options)
        target = len(losses(tmp_path)) + moments.randint(2, 9)
        assert kill_when(process, lambda target=target: len(losses(tmp_path)) >= target)
    process = start(tmp_path, resume=True, **options)
    assert kill_when(process, lambda: being_written(tmp_path))
    finish(tmp_path, resume=True, loop=loop, workers=workers)
    assert_same_run(tmp_path, references(loop))


def test_truncated_newest_checkpoint_is_named_and_passed_over(tmp_path, references):
    process = start(tmp_path, loop="epoch", loading=0.002)
    assert kill_when(process, lambda: (tmp_path / "iter_6.pth").exists())
    newest = max(tmp_path.glob("iter_*.pth"), key=lambda p: p.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:5000])
    finish(tmp_path, loop="epoch", resume=True)
    output = (tmp_path / "output.txt").read_text()
    assert f"{newest} is damaged" in output and "looking for an earlier one" in output
    assert_same_run(tmp_path, references("epoch"))


def test_without_seed_the_resumed_run_takes_the_first_ones(tmp_path):
    """The samplers of the resumed run must not shuffle with a seed of their own."""
    first = tmp_path / "first"
    options = {"loop": "epoch", "randomness": {"seed": None}}
    process = start(first, loading=0.002, **options)
    assert kill_when(process, lambda: (first / "iter_10.pth").exists())
    seed = torch.load(next(iter(first.glob("iter_*.pth"))), weights_only=True)["meta"]["seed"]
    finish(first, resume=True, **options)
    whole = tmp_path / "whole"
    finish(whole, loop="epoch", randomness={"seed": seed})
    assert_same_run(first, whole)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_saves_and_says_how_to_go_on(tmp_path, references, how):
    process = start(tmp_path, loop="iter", workers=2, loading=0.01)
    assert kill_when(process, lambda: len(losses(tmp_path)) >= 4, how)
    assert process.exitcode == 128 + how
    made = len(losses(tmp_path))
    output = (tmp_path / "output.txt").read_text()
    assert f"after iteration {made}; the state is saved in {tmp_path / 'interrupted.pth'}" in output
    assert "--resume auto" in output and "Traceback" not in output
    finish(tmp_path, loop="iter", resume=True)
    assert len(losses(tmp_path)) == ITERATIONS  # nothing was done twice
    assert_same_run(tmp_path, references("iter"))


def test_half_gathered_gradients_are_resumed(tmp_path):
    """With accumulated gradients a checkpoint may lie between two backward passes of one step."""
    wrapper = {
        "type": "OptimWrapper",
        "accumulative_counts": 4,
        "optimizer": {"type": "SGD", "lr": 0.05, "momentum": 0.9},
    }
    options = {"loop": "epoch", "optim_wrapper": wrapper}
    finish(tmp_path / "whole", **options)
    process = start(tmp_path / "cut", loading=0.005, **options)
    assert kill_when(process, lambda: (tmp_path / "cut" / "iter_6.pth").exists())
    finish(tmp_path / "cut", resume=True, **options)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")

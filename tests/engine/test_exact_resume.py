"""A run killed at any moment and resumed is, bit for bit, the run that was never killed."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import ITERATIONS, assert_same_run, being_written, finish, kill_when, losses, start


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


def test_validation_does_not_disturb_training(tmp_path, references):
    """Validation draws random numbers, too; losses are the same with and without it."""
    finish(tmp_path, loop="epoch", validate=True)
    assert [r["loss"] for r in losses(tmp_path)] == [r["loss"] for r in losses(references("epoch"))]


@pytest.mark.parametrize("interval", [{"interval": 1}, {"interval": 7, "by_epoch": False}])
def test_killed_in_validation(tmp_path, interval):
    """The validation that was due is made up for, and the same checkpoints are kept.

    Also from the last iteration of an epoch, of which nothing is left to train.
    """
    hook = {"type": "CheckpointHook", **interval, "save_best": "tiny/error", "rule": "less"}
    options = {"loop": "epoch", "validate": True, "default_hooks": {"checkpoint": hook}}
    finish(tmp_path / "whole", **options)
    process = start(tmp_path / "cut", validation=0.3, **options)
    assert kill_when(process, lambda: (tmp_path / "cut" / "validating").exists())
    assert not list((tmp_path / "cut").glob("best_*"))
    finish(tmp_path / "cut", resume=True, **options)
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    assert (cut / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert {p.name for p in cut.glob("*.pth")} == {p.name for p in whole.glob("*.pth")}
    assert [r["loss"] for r in losses(cut)] == [r["loss"] for r in losses(whole)]


def test_disk_full_while_saving(tmp_path, references):
    """One sentence, no partial file, and the previous checkpoint carries on."""
    process = start(tmp_path, loop="epoch", full_disk_at="iter_6.pth")
    process.join()
    assert process.exitcode == 1
    sentence = f"no space is left on the disk for the checkpoint {tmp_path / 'iter_6.pth'}"
    assert sentence in (tmp_path / "output.txt").read_text()
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == ["iter_2.pth", "iter_4.pth"]
    assert not list(tmp_path.glob(".*.tmp"))
    assert (tmp_path / "last_checkpoint").read_text().endswith("iter_4.pth")
    finish(tmp_path, loop="epoch", resume=True)
    assert_same_run(tmp_path, references("epoch"))


def test_run_without_optimizer_state_is_not_resumed(tmp_path, references):
    checkpoint = torch.load(references("epoch") / "iter_28.pth", weights_only=True)
    torch.save({k: v for k, v in checkpoint.items() if k != "optimizer"}, tmp_path / "weights.pth")
    process = start(tmp_path / "run", loop="epoch", resume=True, load_from=str(tmp_path / "weights.pth"))
    process.join()
    assert (
        "cannot be resumed; start from its weights with load_from"
        in (tmp_path / "run" / "output.txt").read_text()
    )


@pytest.mark.parametrize("pattern", [".epoch_*.tmp", ".best_*.tmp"])
def test_killed_while_the_only_checkpoint_is_replaced(tmp_path, pattern):
    """With one checkpoint kept, and one best one, the old file goes when the new one is safe."""
    hook = {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 1}
    hook.update(save_best="tiny/error", rule="less")
    options = {"loop": "epoch", "validate": True, "saving": 0.2, "default_hooks": {"checkpoint": hook}}
    process = start(tmp_path, **options)
    kept = pattern[1:].replace(".tmp", ".pth")
    assert kill_when(process, lambda: any(tmp_path.glob(kept)) and any(tmp_path.glob(pattern)))
    for path in tmp_path.glob("*.pth"):
        torch.load(path, weights_only=True)
    assert any(tmp_path.glob(kept))


def test_deterministic_run_is_the_same_run(tmp_path, references):
    finish(tmp_path, loop="epoch", randomness={"seed": 7, "deterministic": True})
    assert_same_run(tmp_path, references("epoch"))

"""More than twenty kills at moments of every kind, and each run is still the one that was never killed."""

from __future__ import annotations

import random
import time

import pytest
from processes import assert_same_run, being_written, finish, kill_when, losses, start

KILLS = 24
HOOK = {"type": "CheckpointHook", "interval": 2, "by_epoch": False, "max_keep_ckpts": 2}
HOOK.update(save_best="tiny/error", rule="less")


def moment(kind: str, folder, chance: random.Random):
    """When to kill: after some steps, while a file is written, in a validation, while starting."""
    if kind == "steps":
        target = len(losses(folder)) + chance.randint(1, 5)
        return lambda: len(losses(folder)) >= target
    if kind == "writing":
        return lambda: being_written(folder)
    if kind == "validation":
        (folder / "validating").unlink(missing_ok=True)
        return (folder / "validating").exists
    end = time.monotonic() + chance.uniform(0.0, 0.5)
    return lambda: time.monotonic() > end


@pytest.mark.slow
@pytest.mark.parametrize(("loop", "workers"), [("epoch", 0), ("epoch", 2), ("iter", 2)])
def test_killed_two_dozen_times(tmp_path, loop, workers):
    chance = random.Random(f"{loop}{workers}")
    options = {"loop": loop, "workers": workers, "validate": True, "default_hooks": {"checkpoint": HOOK}}
    finish(tmp_path / "whole", **options)
    slowly = {**options, "saving": 0.1, "loading": 0.004, "validation": 0.1}
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / f"cut_{runs}"
        folder.mkdir()
        for attempt in range(12):
            kind = chance.choice(("steps", "steps", "writing", "validation", "start"))
            reached = moment(kind, folder, chance)
            kills += kill_when(start(folder, resume=attempt > 0, **slowly), reached)
        finish(folder, resume=True, **options)
        assert_same_run(folder, tmp_path / "whole")
        assert not list(folder.glob(".*.tmp"))
        assert len(list(folder.glob("iter_*.pth"))) == 2 and len(list(folder.glob("best_*.pth"))) == 1
    assert kills >= KILLS

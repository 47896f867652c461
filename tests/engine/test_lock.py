"""One training at a time in a work directory; the lock of a killed one does not block."""

from __future__ import annotations

import os
import socket

import pytest
from processes import finish, kill_when, losses, start
from tiny_training import config

from dense3d.engine import Runner
from dense3d.engine.lock import OWNER, locked
from dense3d.errors import ConfigError


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path):
    first = start(tmp_path, loading=0.02)
    while len(losses(tmp_path)) < 2 and first.is_alive():
        pass
    second = start(tmp_path)
    second.join()
    assert second.exitcode == 1
    sentence = f"process {first.pid} on {socket.gethostname()}; two would mix their files"
    assert f"another run trains in {tmp_path}, since " in (tmp_path / "output.txt").read_text()
    assert sentence in (tmp_path / "output.txt").read_text()
    first.join()
    assert first.exitcode == 0 and len(losses(tmp_path)) == 28
    assert not (tmp_path / OWNER).exists()


def test_a_killed_runs_lock_does_not_block(tmp_path):
    process = start(tmp_path, loading=0.01, workers=2)
    assert kill_when(process, lambda: len(losses(tmp_path)) >= 3)
    assert (tmp_path / OWNER).exists()
    finish(tmp_path, resume=True, workers=2)


def test_holding_twice_in_one_process_is_one_lock(tmp_path):
    with locked(tmp_path), locked(tmp_path):
        assert (tmp_path / OWNER).exists()
    assert not (tmp_path / OWNER).exists()


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch, capsys):
    import filelock

    def refuse(self, **kwargs):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with locked(tmp_path):
        pass


def test_an_owner_that_cannot_be_read_is_unnamed(tmp_path):
    with locked(tmp_path):
        (tmp_path / OWNER).write_bytes(b"\xff")
        child = os.fork()
        if child == 0:
            try:
                with locked(tmp_path):
                    os._exit(1)
            except ConfigError as error:
                os._exit(0 if "an unnamed process" in str(error) else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    assert not (tmp_path / OWNER).exists()


def test_an_evaluation_beside_a_training_goes_on(tmp_path):
    """It takes no lock, and leaves the config that the training wrote alone."""
    process = start(tmp_path, loading=0.02)
    while len(losses(tmp_path)) < 2 and process.is_alive():
        pass
    before = {path: path.read_bytes() for path in tmp_path.glob("*.py")}
    assert len(before) == 1
    loader = {**config(tmp_path)["train_dataloader"], "sampler": {"type": "DefaultSampler", "shuffle": False}}
    metric = {"type": "TinyMetric", "work_dir": str(tmp_path)}
    runner = Runner.from_cfg(config(tmp_path, test_dataloader=loader, test_cfg={}, test_evaluator=metric))
    assert runner.test()["tiny/error"] > 0
    assert {path: path.read_bytes() for path in tmp_path.glob("*.py")} == before
    process.join()
    assert process.exitcode == 0

"""Two processes with gloo on the CPU: equal to one process with the doubled batch, and resumable."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed
from processes import assert_same, finish, losses, start

from dense3d.engine.distributed import _LOST, start_process_group
from dense3d.errors import ConfigError

# Without batch norm (its statistics are per process) and dropout (its mask is per process); the random
# augmentation stays: it depends on the sample's place only.
OPTIONS = {
    "model": {"type": "TinyModel", "norm": False, "rate": 0.0},
    "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.05, "momentum": 0.9}},
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_two(work_dir: Path, **options) -> list[multiprocessing.Process]:
    """Two processes of one run, as torchrun would start them."""
    port = _free_port()
    ranks = []
    for rank in range(2):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        ranks.append(start(work_dir, environment, launcher="pytorch", batch_size=2, **options))
    return ranks


def finish_two(work_dir: Path, **options) -> None:
    """Both processes to the end."""
    processes = start_two(work_dir, **options)
    deadline = time.monotonic() + 120
    while any(p.is_alive() for p in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [p.exitcode for p in processes] == [0, 0], (work_dir / "output.txt").read_text()[-3000:]


def test_torchrun_equals_one_process_with_the_doubled_batch(tmp_path):
    import json

    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += [f"--master_port={_free_port()}", str(Path(__file__).with_name("tiny_training.py"))]
    command += [str(tmp_path / "two"), json.dumps({**OPTIONS, "launcher": "pytorch", "batch_size": 2})]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    finish(tmp_path / "one", batch_size=4, **OPTIONS)

    one = losses(tmp_path / "one")
    two = [losses(tmp_path / "two", name) for name in ("losses.jsonl", "losses_1.jsonl")]
    assert len(one) == len(two[0]) == len(two[1]) == 28
    for whole, first, second in zip(one, *two):
        assert sorted(whole["files"]) == sorted(first["files"] + second["files"])
        mean = (float.fromhex(first["loss"]) + float.fromhex(second["loss"])) / 2
        assert mean == pytest.approx(float.fromhex(whole["loss"]), rel=1e-4)
    # Sums of the same terms in another order: float32 rounding, carried through 28 steps.
    weights = [torch.load(tmp_path / name / "final.pt") for name in ("one", "two")]
    for name in weights[0]:
        # The distributed model's names carry the wrapper's prefix.
        torch.testing.assert_close(weights[1][f"module.{name}"], weights[0][name], rtol=1e-4, atol=1e-6)


def test_synchronised_norms_of_a_config_become_plain_ones_on_the_cpu(tmp_path):
    finish_two(tmp_path, sync_bn="torch")
    assert len(losses(tmp_path)) == 28


def test_two_processes_are_resumed_exactly(tmp_path):
    """Each process gets its own random state back: dropout and drop path are drawn in both."""
    finish_two(tmp_path / "whole", randomness={"seed": 7, "diff_rank_seed": False})
    processes = start_two(tmp_path / "cut", loading=0.005)
    deadline = time.monotonic() + 60
    while not (tmp_path / "cut" / "iter_10.pth").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    finish_two(tmp_path / "cut", resume=True)
    for name in ("losses.jsonl", "losses_1.jsonl"):
        expected = {r["iter"]: r for r in losses(tmp_path / "whole", name)}
        found = losses(tmp_path / "cut", name)
        assert {r["iter"] for r in found} == set(expected) == set(range(28))
        assert all(record == expected[record["iter"]] for record in found)
    final = [torch.load(tmp_path / run / "final.pt") for run in ("cut", "whole")]
    assert_same(*final, "final.pt")


def test_nan_in_one_process_is_left_out_in_both(tmp_path):
    finish_two(tmp_path, poison=5, **OPTIONS)
    bad = [
        [r["iter"] for r in losses(tmp_path, n) if r["loss"] == "nan"]
        for n in ("losses.jsonl", "losses_1.jsonl")
    ]
    assert sum(map(len, bad)) == 4 and not set(bad[0]) & set(bad[1])
    weights = torch.load(tmp_path / "final.pt")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert "image_05.jpg" in (tmp_path / "output.txt").read_text()


def test_asked_to_stop_both_save_once_and_leave(tmp_path):
    processes = start_two(tmp_path, loading=0.01)
    deadline = time.monotonic() + 60
    while len(losses(tmp_path)) < 4 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(processes[1].pid, signal.SIGTERM)  # only one of the two
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [128 + signal.SIGTERM] * 2
    made = len(losses(tmp_path))
    finish_two(tmp_path, resume=True)
    assert [r["iter"] for r in losses(tmp_path)] == list(range(28)) and made < 28


def test_launcher_without_its_environment_says_how_to_start(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match=r"--launcher pytorch, but .*RANK.* not set; start with: torchrun"):
        start_process_group("pytorch", {})


@pytest.mark.parametrize("lost", [0, 1])
def test_the_process_that_is_lost_is_named_by_the_other(tmp_path, lost):
    processes = start_two(tmp_path, loading=0.01)
    deadline = time.monotonic() + 60
    while len(losses(tmp_path)) < 4 and time.monotonic() < deadline:
        time.sleep(0.002)
    processes[lost].kill()
    for process in processes:
        process.join(60)
    assert processes[1 - lost].exitcode == 1
    output = (tmp_path / "output.txt").read_text()
    sentence = f"process {1 - lost} of 2 has lost process {lost} (pid {processes[lost].pid} on "
    assert sentence in output.rpartition("TrainingError: ")[2]


def test_lost_connections_are_told_from_other_errors():
    """What gloo and NCCL say, and what is no lost process."""
    lost = [
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:24",
        "[gloo/transport/tcp/pair.cc:525] Read error [127.0.0.1]:24: Connection reset by peer",
        "[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv",
        "NCCL error in: x.cpp:12, remote process exited or there was a network error, NCCL version 2.21.5\n"
        "ncclRemoteError: A call failed possibly due to a network error.",
        "NCCL communicator was aborted on rank 1.",
    ]
    other = ["size mismatch for w", "NCCL error: invalid argument", "CUDA out of memory", "Detected mismatch"]
    assert all(_LOST.search(text) for text in lost) and not any(_LOST.search(text) for text in other)


def test_two_runs_of_two_processes_in_one_folder(tmp_path):
    first = start_two(tmp_path, loading=0.02)
    while len(losses(tmp_path)) < 2 and first[0].is_alive():
        time.sleep(0.01)
    second = start_two(tmp_path)
    for process in (*second, *first):
        process.join(60)
    assert [p.exitcode for p in (*first, *second)] == [0, 0, 1, 1]
    assert (tmp_path / "output.txt").read_text().count("two would mix their files") == 2

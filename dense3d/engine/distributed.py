"""Process groups: gloo where there is no GPU, and small collective helpers."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size, is_distributed

from dense3d.errors import ConfigError, TrainingError
from dense3d.files import is_alive

_TORCHRUN = "torchrun --nproc_per_node=GPUS -m dense3d train CONFIG --launcher pytorch"


def start_process_group(launcher: str, dist_cfg: dict) -> None:
    """Join the process group of a launcher on a machine without GPUs; mmengine does it on one with them.

    Args:
        launcher: ``"pytorch"`` (torchrun) or ``"slurm"``.
        dist_cfg: ``backend`` and ``timeout`` in seconds; without a GPU the backend is gloo.

    Raises:
        ConfigError: the launcher's environment variables are not set.
    """
    if is_distributed() or launcher == "none":
        return
    _check_environment(launcher)
    if torch.cuda.is_available() or launcher not in ("pytorch", "slurm"):
        return
    if launcher == "slurm":
        _environment_from_slurm(dist_cfg.get("port"))
    timeout = dist_cfg.get("timeout")
    options = {} if timeout is None else {"timeout": datetime.timedelta(seconds=timeout)}
    torch.distributed.init_process_group("gloo", **options)


def _check_environment(launcher: str) -> None:
    needed = {"pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"), "slurm": ("SLURM_PROCID", "SLURM_NTASKS")}
    absent = [name for name in needed.get(launcher, ()) if name not in os.environ]
    if absent:
        how = _TORCHRUN if launcher == "pytorch" else "srun dense3d train CONFIG --launcher slurm"
        raise ConfigError(f"--launcher {launcher}, but {', '.join(absent)} is not set; start with: {how}")


def _environment_from_slurm(port: int | None) -> None:
    import subprocess

    os.environ["RANK"] = os.environ["SLURM_PROCID"]
    os.environ["WORLD_SIZE"] = os.environ["SLURM_NTASKS"]
    os.environ["LOCAL_RANK"] = os.environ.get("SLURM_LOCALID", "0")
    if port is not None:
        os.environ["MASTER_PORT"] = str(port)
    os.environ.setdefault("MASTER_PORT", "29500")
    if "MASTER_ADDR" not in os.environ:
        command = ["scontrol", "show", "hostname", os.environ["SLURM_NODELIST"]]
        hosts = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        os.environ["MASTER_ADDR"] = hosts[0]


# What gloo and NCCL say when the other side of a connection is gone.
_LOST = re.compile(
    r"(?s)gloo.*(closed by peer|reset by peer|pair closure|Broken pipe|Socket closed|Timed out)"
    r"|ncclRemoteError|remote process exited|communicator was aborted|NCCL.*(timeout|connection)"
)
# A process that was killed is gone a moment after its connections are.
_PATIENCE = 2.0


@contextlib.contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Say in one sentence which process of the group has ended, when the block fails for that.

    NCCL tells of it by an exception where it notices the broken connection; where it only waits in vain,
    torch's watchdog ends this process itself.

    Raises:
        TrainingError: in place of what gloo or NCCL raise.
    """
    if get_world_size() == 1:
        yield
        return
    processes = from_all_processes((socket.gethostname(), os.getpid()))
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        ended = _ended(processes)
        others = ", ".join(
            f"process {rank} (pid {processes[rank][1]} on {processes[rank][0]})" for rank in ended
        )
        raise TrainingError(
            f"process {get_rank()} of {len(processes)} has lost {others or 'another one'}, which has ended: "
            "its own output says why, or it was killed, for instance for its memory; go on with --resume"
        ) from error


def _ended(processes: list[tuple[str, int]]) -> list[int]:
    """Ranks on this machine whose process is no more."""
    here = socket.gethostname()
    deadline = time.monotonic() + _PATIENCE
    while True:
        ended = [rank for rank, (host, pid) in enumerate(processes) if host == here and not _runs(pid)]
        if ended or time.monotonic() > deadline:
            return ended
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether a process works; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return is_alive(pid)


def any_process(*flags: bool) -> tuple[bool, ...]:
    """Each flag, true if it is true in any process; every process must call this at the same point."""
    if get_world_size() == 1:
        return tuple(bool(flag) for flag in flags)
    on_gpu = torch.distributed.get_backend() == "nccl"
    values = torch.tensor([float(flag) for flag in flags], device="cuda" if on_gpu else "cpu")
    torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    return tuple(bool(value) for value in values.tolist())


def from_all_processes(value: object) -> list:
    """The values of all processes by rank; every process must call this at the same point."""
    return all_gather_object(value) if get_world_size() > 1 else [value]

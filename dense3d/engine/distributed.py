"""Process groups: gloo where there is no GPU, and small collective helpers."""

from __future__ import annotations

import datetime
import os

import torch
from mmengine.dist import all_gather_object, get_world_size, is_distributed

from dense3d.errors import ConfigError

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

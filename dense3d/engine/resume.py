"""What a checkpoint holds beyond mmengine's so that a resumed run is the same run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from dense3d.engine import seeding
from dense3d.engine.checkpoint import load_checkpoint
from dense3d.engine.distributed import from_all_processes
from dense3d.errors import CheckpointError
from dense3d.registry import HOOKS

KEY = "dense3d"
FORMAT = 1


@HOOKS.register_module()
class ValidationStateHook(Hook):
    """Keep validation out of training's random numbers.

    A checkpoint that is saved during validation (the best one so far) also takes this state.
    """

    priority = "HIGHEST"

    def __init__(self) -> None:
        self.state: dict | None = None

    def before_val(self, runner) -> None:
        """Note the generators."""
        self.state = seeding.capture()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Keep the metrics; checkpoints saved from here on need no second validation."""
        runner.last_metrics = dict(metrics or {})
        progress = getattr(runner.train_loop, "progress", None) if runner.is_training else None
        if progress is not None:
            progress.validated = True

    def after_val(self, runner) -> None:
        """Put them back."""
        if self.state is not None:
            seeding.restore(self.state)
        self.state = None


def run_state(runner) -> dict:
    """Place, random generators of all processes and half-gathered gradients, as plain data.

    Every process must call this at the same point.
    """
    validation = next((h.state for h in runner.hooks if isinstance(h, ValidationStateHook)), None)
    state = {
        "format": FORMAT,
        "world_size": get_world_size(),
        "random_states": from_all_processes(validation or seeding.capture()),
    }
    if hasattr(runner.train_loop, "place"):
        state["progress"] = runner.train_loop.place()
    gradients = _pending_gradients(runner)
    if gradients:
        state["gradients"] = gradients
    return state


def _pending_gradients(runner) -> dict[str, torch.Tensor]:
    """Gradients that ``accumulative_counts`` has gathered and not applied yet."""
    wrapper = runner.optim_wrapper
    if getattr(wrapper, "_accumulative_counts", 1) == 1 or wrapper.should_update():
        return {}
    if get_world_size() > 1:
        runner.logger.warning(
            "this checkpoint lies between two accumulated iterations and gradients are per process: "
            "resuming from it loses them; save at multiples of accumulative_counts"
        )
        return {}
    return {n: p.grad for n, p in runner.model.named_parameters() if p.grad is not None}


def resume_run_state(runner, checkpoint: dict) -> dict | None:
    """Set the loop's place and the gradients; return the generators' state of this process, if known."""
    state = checkpoint.get(KEY)
    loop = runner.train_loop
    if state is None:
        runner.logger.warning("the checkpoint was not saved by dense3d: random numbers are not resumed")
        loop._epoch, loop._iter = checkpoint["meta"]["epoch"], checkpoint["meta"]["iter"]
        if hasattr(loop, "resume_at"):
            loop.resume_at(_foreign_progress(loop))
        return None
    if hasattr(loop, "resume_at"):
        loop.resume_at(state["progress"])
    else:
        loop._epoch, loop._iter = checkpoint["meta"]["epoch"], checkpoint["meta"]["iter"]
    parameters = dict(runner.model.named_parameters())
    for name, gradient in state.get("gradients", {}).items():
        parameters[name].grad = gradient.to(parameters[name].device)
    if state["world_size"] != get_world_size():
        runner.logger.warning(
            f"the checkpoint is of {state['world_size']} processes and this run has {get_world_size()}: "
            "it goes on from the same weights, but not to the same losses"
        )
        return None
    return state["random_states"][get_rank()]


def _foreign_progress(loop) -> dict:
    """The place that mmengine's checkpoints name: whole epochs, or iterations."""
    place = {"epoch": loop._epoch, "iter": loop._iter, "data_epoch": loop._epoch, "validated": True}
    if loop._epoch == 0 and loop._iter > 0:
        sampler = getattr(loop.dataloader.batch_sampler, "sampler", None)
        endless = isinstance(sampler, InfiniteSampler)
        length = loop._iter + 1 if endless else len(loop.dataloader)
        place["data_epoch"], place["batch"] = divmod(loop._iter, length)
    return place


def newest_valid_checkpoint(
    work_dir: str | os.PathLike, warn: Callable[[str], None]
) -> tuple[Path, dict] | None:
    """The checkpoint that was saved last and can be resumed from.

    Args:
        work_dir: folder of the run; also looked into is the folder that ``last_checkpoint`` there names.
        warn: told of damaged files.

    Returns:
        File and content, or ``None`` if there is none.

    Raises:
        CheckpointError: there are checkpoints and all of them are damaged.
    """
    damaged = []
    for path in _candidates(Path(work_dir)):
        try:
            checkpoint = load_checkpoint(path)
        except CheckpointError as error:
            warn(f"{error} (looking for an earlier one)")
            damaged.append(path)
            continue
        if "optimizer" in checkpoint:
            return path, checkpoint
    if damaged:
        raise CheckpointError(
            f"no checkpoint in {work_dir} can be resumed from, {len(damaged)} damaged: "
            f"{', '.join(p.name for p in damaged)}; delete them to start anew"
        )
    return None


def _candidates(work_dir: Path) -> list[Path]:
    """Checkpoint files, the newest first; the best ones carry no optimizer."""
    folders = {work_dir}
    pointer = work_dir / "last_checkpoint"
    if pointer.is_file():
        target = Path(pointer.read_text(encoding="utf-8").strip() or work_dir / "none")
        folders.add(target.parent)
    files = [f for folder in folders if folder.is_dir() for f in folder.glob("*.pth")]
    files = [f for f in files if not f.name.startswith("best_")]
    return sorted(files, key=lambda f: f.stat().st_mtime_ns, reverse=True)


def load_optimizer(wrapper: OptimWrapper, state: dict, path: object) -> None:
    """Load an optimiser's (and loss scaler's) state.

    Raises:
        CheckpointError: the parameter groups differ.
    """
    try:
        wrapper.load_state_dict(state)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"the optimizer state in {path} does not fit this config ({error}); resume with the config of "
            "that run, or start from its weights with load_from"
        ) from error

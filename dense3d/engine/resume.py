"""What a checkpoint holds beyond mmengine's so that a resumed run is the same run."""

from __future__ import annotations

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook

from dense3d.engine import seeding
from dense3d.engine.distributed import from_all_processes
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
        state["epoch_length"] = epoch_length(runner.train_loop)
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
        loop.resume_at(_in_this_data(state, loop, runner.logger.warning))
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


def epoch_length(loop) -> int:
    """Batches of a pass over a loop's data; 0 if there is no end to it."""
    sampler = getattr(loop.dataloader.batch_sampler, "sampler", loop.dataloader.sampler)
    return 0 if isinstance(sampler, InfiniteSampler) else len(loop.dataloader)


def _in_this_data(state: dict, loop, warn) -> dict:
    """The place in terms of this run's batches, which may be larger, or of more samples, than the saved ones.

    Epochs stay what they are, and so does the share of the present one that is done.
    """
    place = dict(state["progress"])
    present, by_epoch = epoch_length(loop), hasattr(loop, "run_epoch")
    saved = state.get("epoch_length") or 0
    if not saved and by_epoch and place["epoch"]:
        saved = (place["iter"] - place["batch"]) // place["epoch"]
    if not saved or not present or saved == present:
        return place
    place["batch"] = min(place["batch"] * present // saved, present - 1)
    if by_epoch:
        place["iter"] = place["epoch"] * present + place["batch"]
    warn(
        f"a pass over the data has {present} batches and had {saved} in the checkpoint: training goes on in "
        f"epoch {place['data_epoch'] + 1}, batch {place['batch'] + 1}, as iteration {place['iter'] + 1}"
    )
    return place


def _foreign_progress(loop) -> dict:
    """The place that mmengine's checkpoints name: whole epochs, or iterations."""
    place = {"epoch": loop._epoch, "iter": loop._iter, "data_epoch": loop._epoch, "validated": True}
    if loop._epoch == 0 and loop._iter > 0:
        sampler = getattr(loop.dataloader.batch_sampler, "sampler", None)
        endless = isinstance(sampler, InfiniteSampler)
        length = loop._iter + 1 if endless else len(loop.dataloader)
        place["data_epoch"], place["batch"] = divmod(loop._iter, length)
    return place

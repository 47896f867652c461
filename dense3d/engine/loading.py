"""What a run loads: weights to start from, or the state of a run to go on with."""

from __future__ import annotations

from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop
from torch import nn

from dense3d.engine import resume
from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of
from dense3d.engine.plain import revive_histories
from dense3d.errors import CheckpointError


def bare_model(model: nn.Module) -> nn.Module:
    """The model itself, without what wraps it for several processes or for augmented testing."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


class Loading:
    """Part of :class:`dense3d.engine.runner.Runner`: loads weights, finds and resumes checkpoints."""

    _opened: tuple[str, dict] | None = None
    _random_state: dict | None = None

    def load_or_resume(self) -> None:
        """Load or resume what the config names, once."""
        if self._has_loaded:
            return
        if self._resume:
            self._open_checkpoint_to_resume()
            if self._opened is not None:
                self.resume(self._opened[0])
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)

    def _open_checkpoint_to_resume(self) -> None:
        """Read the checkpoint to resume from, if there is one, and take its seed."""
        if not self._resume or self._has_loaded or self._opened is not None:
            return
        path = self._load_from or self._newest_checkpoint()
        if path is None:
            return
        checkpoint = self._read(path)
        if "optimizer" not in checkpoint:
            raise CheckpointError(
                f"{path} holds weights without the state of a run (no 'optimizer'), so it cannot be resumed; "
                "start from its weights with load_from"
            )
        self._opened = (str(path), checkpoint)
        self._take_seed(checkpoint.get("meta", {}).get("seed"))

    def _newest_checkpoint(self) -> str | None:
        """Path of the newest valid checkpoint; process 0 looks for it."""
        found = [None]
        if is_main_process():
            newest = resume.newest_valid_checkpoint(self.work_dir, self.logger.warning)
            if newest is None:
                self.logger.info(f"no checkpoint to resume in {self.work_dir}: training starts anew")
            else:
                found = [str(newest[0])]
                self._opened = (found[0], newest[1])
        broadcast_object_list(found)
        return found[0]

    def _take_seed(self, seed: int | None) -> None:
        wanted = self._randomness_cfg.get("seed")
        if seed is None or seed == wanted:
            return
        if wanted is not None:
            self.logger.warning(f"the resumed run had the seed {seed}; it is kept, not {wanted}")
        self._randomness_cfg = {**self._randomness_cfg, "seed": seed}
        self.set_randomness(**self._randomness_cfg)

    def _read(self, path: str, map_location: Any = "cpu") -> dict:
        if self._opened is not None and self._opened[0] == str(path):
            return self._opened[1]
        return load_checkpoint(path, map_location)

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = "cpu",
        strict: bool | None = None,
        revise_keys: list | None = None,
    ) -> dict:
        """Load weights into the model.

        Args:
            filename: checkpoint file or address.
            map_location: as for ``torch.load``.
            strict: whether every name must fit; by default what the config's ``strict_load`` says, or yes.
            revise_keys: accepted for mmengine's callers; ``module.`` is always taken off.

        Raises:
            CheckpointError: unreadable, unsafe, of another model, or of another number of classes.
        """
        strict = self.cfg.get("strict_load", True) if strict is None else strict
        checkpoint = self._read(filename, map_location)
        weights_of(checkpoint, filename)
        self._compare_classes(checkpoint, filename, strict)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        weights = weights_of(checkpoint, filename)
        load_into(bare_model(self.model), weights, strict, filename, self.logger.warning)
        self._has_loaded = True
        self.logger.info(f"loaded {filename}")
        return checkpoint

    def _compare_classes(self, checkpoint: dict, filename: str, strict: bool) -> None:
        theirs, ours = _classes(checkpoint.get("meta", {})), self._dataset_classes()
        if not theirs or not ours or len(theirs) == len(ours):
            return
        message = (
            f"{filename} was trained on {len(theirs)} classes ({_few(theirs)}), but the data set of this "
            f"config has {len(ours)} ({_few(ours)}); give metainfo=dict(classes=...) and the head as it was "
            "trained, or set strict_load=False to start anew where shapes differ"
        )
        if strict:
            raise CheckpointError(message)
        self.logger.warning(message)

    def _dataset_classes(self) -> list[str] | None:
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            if isinstance(loop, BaseLoop):
                metainfo = getattr(loop.dataloader.dataset, "metainfo", None)
                if metainfo:
                    return _classes({"dataset_meta": metainfo})
        return None

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:
        """Go on where the run that saved ``filename`` was.

        Raises:
            CheckpointError: as :meth:`load_checkpoint`, or the optimiser's state does not fit.
        """
        checkpoint = self.load_checkpoint(filename, map_location, strict=True)
        self._random_state = resume.resume_run_state(self, checkpoint)
        if "message_hub" in checkpoint:
            self.message_hub.load_state_dict(revive_histories(checkpoint["message_hub"]))
        if "optimizer" in checkpoint and resume_optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            resume.load_optimizer(self.optim_wrapper, checkpoint["optimizer"], filename)
        if "param_schedulers" in checkpoint and resume_param_scheduler and self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            _load_schedulers(self.param_schedulers, checkpoint["param_schedulers"])
        self._opened = None
        self.logger.info(f"resumed {filename} at epoch {self.epoch}, iteration {self.iter}")


def _classes(meta: dict) -> list[str] | None:
    """Class names in the meta of a checkpoint, under its present and its older names."""
    metainfo = meta.get("dataset_meta") or {}
    if not isinstance(metainfo, dict):
        return None
    found = metainfo.get("classes", metainfo.get("CLASSES", meta.get("CLASSES")))
    return [found] if isinstance(found, str) else list(found) if found is not None else None


def _few(names: list[str]) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")


def _load_schedulers(schedulers: list | dict, states: list | dict) -> None:
    if isinstance(schedulers, dict):
        for name, items in schedulers.items():
            _load_schedulers(items, states[name])
        return
    for scheduler, state in zip(schedulers, states):
        scheduler.load_state_dict(state)

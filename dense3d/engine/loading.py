"""What a run loads: weights to start from, or the state of a run to go on with."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import EMAHook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop
from torch import nn

from dense3d.engine import resume, schedule, settings
from dense3d.engine.checkpoint import adapted, load_checkpoint, load_into, weights_of
from dense3d.engine.data_classes import plain_name
from dense3d.engine.finite import refuse_non_finite
from dense3d.engine.plain import revive_histories
from dense3d.engine.resumable import check_parts, newest_resumable
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
    _differences: Sequence[settings.Change] = ()

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
        """Read the checkpoint to resume from, if any, and take its seed and, if asked to, its settings."""
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
        check_parts(checkpoint, path)
        self._opened = (str(path), checkpoint)
        meta = checkpoint["meta"]
        self._take_seed(meta.get("seed"))
        self._take_settings(settings.read_settings(meta.get("cfg")), path)

    def _newest_checkpoint(self) -> str | None:
        """Path of the checkpoint furthest in training; process 0 looks for it."""
        found: list = [None, None]
        if is_main_process():
            try:
                newest = newest_resumable(self._own_folders(), self.logger.warning, self._check_finite)
            except CheckpointError as error:
                newest, found[1] = None, str(error)
            if newest is not None:
                found[0] = str(newest[0])
                self._opened = (found[0], newest[1])
        broadcast_object_list(found)
        if found[1] is not None:
            raise CheckpointError(found[1])
        if found[0] is None:
            self.logger.info(f"no checkpoint to resume in {self.work_dir}: training starts anew")
        return found[0]

    def _own_folders(self) -> list[Path]:
        """Where this run saves: its work directory, and the folder that its checkpoint hook may have."""
        work_dir = Path(self.work_dir)
        hook = (self.cfg.get("default_hooks") or {}).get("checkpoint") or {}
        other = hook.get("out_dir") if isinstance(hook, dict) else None
        return [work_dir] if other is None or "://" in str(other) else [work_dir, Path(other) / work_dir.name]

    def _check_finite(self, checkpoint: dict, path: object) -> None:
        for part in ("state_dict", "ema_state_dict"):
            weights = {re.sub(r"^module\.", "", n): w for n, w in checkpoint.get(part, {}).items()}
            refuse_non_finite(None, path, weights)

    def _take_settings(self, saved: dict, path: object) -> None:
        """Note how the config differs from the checkpoint's, and take that where the config says so."""
        choice = settings.checked_choice(self.cfg.get("resume_settings", "config"))
        self._differences = settings.changes(saved, settings.read_settings(self._config_text))
        if choice == "config" or not any(change.is_recipe for change in self._differences):
            return
        recipe = settings.saved_recipe(saved, path)
        self._train_loop, self.optim_wrapper = recipe["train_cfg"], recipe["optim_wrapper"]
        self.param_schedulers, self.auto_scale_lr = recipe["param_scheduler"], recipe["auto_scale_lr"]
        batch_size = saved.get("train_dataloader", {}).get("batch_size")
        if batch_size is not None and isinstance(self._train_dataloader, dict):
            self._train_dataloader = {**self._train_dataloader, "batch_size": batch_size}
            self.cfg.train_dataloader.batch_size = batch_size
        for part, value in recipe.items():
            self.cfg[part] = value
        del self._config_text

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
            strict: whether every name must fit; by default yes, but what training starts from may fit in
                part with ``strict_load = False`` in the config.
            revise_keys: accepted for mmengine's callers; ``module.`` is always taken off.

        Raises:
            CheckpointError: unreadable, unsafe, of another model or number of classes, or not finite.
        """
        if strict is None:
            strict = self.cfg.get("strict_load", True) or not self.is_training
        checkpoint = adapted(bare_model(self.model), self._read(filename, map_location), filename)
        weights_of(checkpoint, filename)
        self._compare_classes(checkpoint, filename, strict)
        self._compare_alignment(checkpoint, filename)
        model = bare_model(self.model)
        try:
            self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        except RuntimeError:  # averaged weights of another model: say it as of the model's own
            load_into(model, weights_of(checkpoint, filename), True, filename, self.logger.warning)
            raise
        weights = weights_of(checkpoint, filename)
        load_into(model, weights, strict, filename, self.logger.warning)
        refuse_non_finite(model, filename)
        self._has_loaded = True
        self.logger.info(f"loaded {filename}")
        return checkpoint

    def _compare_classes(self, checkpoint: dict, filename: str, strict: bool) -> None:
        theirs, ours = _classes(checkpoint.get("meta", {})), self._dataset_classes()
        if not theirs or not ours:
            return
        if len(theirs) == len(ours):
            self._compare_labels(theirs, ours, filename)
            return
        message = (
            f"{filename} was trained on {len(theirs)} classes ({_few(theirs)}), but the data set of this "
            f"config has {len(ours)} ({_few(ours)}); give metainfo=dict(classes=...) and the head as it was "
            "trained, or, for a new training from what fits, load_from with strict_load=False"
        )
        if strict:
            raise CheckpointError(message)
        self.logger.warning(message)

    def _compare_alignment(self, checkpoint: dict, filename: str) -> None:
        """Scans that are turned to their walls, and such that are not, are different data."""
        metainfo = (checkpoint.get("meta") or {}).get("dataset_meta")
        theirs = metainfo.get("axis_aligned") if isinstance(metainfo, dict) else None
        ours = (self._dataset_metainfo() or {}).get("axis_aligned")
        if theirs is None or ours is None or theirs == ours:
            return
        words = {True: "axis-aligned", False: "not axis-aligned"}
        message = (
            f"{filename} was trained on scans that are {words[bool(theirs)]}, but those of this config are "
            f"{words[bool(ours)]}; prepare the data set as in training"
        )
        if not self.is_training:
            raise CheckpointError(message)
        self.logger.warning(message)

    def _compare_labels(self, theirs: list[str], ours: list[str], filename: str) -> None:
        """Labels must mean what they meant, unless they are learned anew; other spellings are no matter."""
        pairs = enumerate(zip(theirs, ours))
        other = [(i, was, now) for i, (was, now) in pairs if plain_name(was) != plain_name(now)]
        if not other:
            return
        label, was, now = other[0]
        message = (
            f"{filename}: label {label} was {was!r} in training, but is {now!r} in the data set of this "
            f"config ({len(other)} of {len(ours)} classes differ); give it metainfo=dict(classes=...) as in "
            "training"
        )
        if sorted(theirs) == sorted(ours) and not self.is_training:
            raise CheckpointError(message)
        self.logger.warning(message)

    def _dataset_classes(self) -> list[str] | None:
        metainfo = self._dataset_metainfo()
        return _classes({"dataset_meta": metainfo}) if metainfo else None

    def _dataset_metainfo(self) -> dict | None:
        """Of the first loader's data set that has one."""
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            if isinstance(loop, BaseLoop):
                metainfo = getattr(loop.dataloader.dataset, "metainfo", None)
                if metainfo:
                    return metainfo
        return None

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:
        """Go on where the run that saved ``filename`` was.

        Where the config has changed since, it holds: schedules are what they would be, had the run had them
        from its start. ``resume_settings="checkpoint"`` in the config keeps the checkpoint's.

        Raises:
            CheckpointError: as :meth:`load_checkpoint`, or the optimiser's state does not fit.
        """
        self._without_average(filename, map_location)
        checkpoint = self.load_checkpoint(filename, map_location, strict=True)
        check_parts(checkpoint, filename)
        try:
            self._random_state = resume.resume_run_state(self, checkpoint)
            if "message_hub" in checkpoint:
                self.message_hub.load_state_dict(revive_histories(checkpoint["message_hub"]))
            if "optimizer" in checkpoint and resume_optimizer:
                self._resume_optimizer(checkpoint, filename, resume_param_scheduler)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise CheckpointError(
                f"{filename} is damaged: a part that resuming needs is absent or of another kind ({error!r})"
            ) from error
        self._opened = None
        told = settings.sentence(self._differences, self.cfg.get("resume_settings", "config"))
        if told:
            self.logger.warning(told)
        if self.iter >= self.max_iters:
            self.logger.warning(
                f"nothing is left to train: {filename} is at iteration {self.iter} of {self.max_iters}"
            )
        self.logger.info(f"resumed {filename} at epoch {self.epoch}, iteration {self.iter}")

    def _without_average(self, filename: str, map_location: Any) -> None:
        """Resumed without the hook that averaged weights, training goes on from the weights themselves."""
        checkpoint = self._read(filename, map_location)
        own = checkpoint.get("ema_state_dict")
        if not own or any(isinstance(hook, EMAHook) for hook in self.hooks):
            return
        weights = copy.copy(checkpoint["state_dict"])  # with what it says of the versions of modules
        weights.update({n.removeprefix("module."): w for n, w in own.items() if n.startswith("module.")})
        self._opened = (str(filename), {**checkpoint, "state_dict": weights})
        self.logger.warning(f"{filename} has averaged weights, which end here: this config has no EMAHook")

    def _resume_optimizer(self, checkpoint: dict, filename: str, with_schedulers: bool) -> None:
        """Optimiser and schedules: as saved, bit for bit, or by the config where that has changed."""
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
        fresh = schedule.optimizer_settings(self.optim_wrapper)
        schedule.load_optimizer(self.optim_wrapper, checkpoint["optimizer"], filename)
        scheduled = schedule.names_of_scheduled(self.param_schedulers)
        if any(change.is_recipe for change in self._differences):
            schedule.use_settings(self.optim_wrapper, fresh, scheduled)
        if not with_schedulers or self.param_schedulers is None:
            return
        states, loop = checkpoint.get("param_schedulers"), self._train_loop
        saved_iter = (checkpoint.get(resume.KEY) or {}).get("progress", checkpoint["meta"]).get("iter")
        if schedule.is_same_schedule(self.param_schedulers, states) and saved_iter == loop.iter:
            schedule.load_schedulers(self.param_schedulers, states)
            return
        length = resume.epoch_length(loop) if hasattr(loop, "run_epoch") else 0
        place = {"iter": loop.iter, "epoch": loop.epoch, "epoch_length": length}
        schedule.restart_schedules(self.optim_wrapper, self.param_schedulers, fresh, place)


def _classes(meta: dict) -> list[str] | None:
    """Class names in the meta of a checkpoint, under its present and its older names."""
    metainfo = meta.get("dataset_meta") or {}
    if not isinstance(metainfo, dict):
        return None
    found = metainfo.get("classes", metainfo.get("CLASSES", meta.get("CLASSES")))
    return [found] if isinstance(found, str) else list(found) if isinstance(found, (list, tuple)) else None


def _few(names: list[str]) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")

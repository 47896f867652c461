"""mmengine's Runner with safe checkpoints, exact resume and training on machines without a GPU."""

from __future__ import annotations

import copy
import functools
import os
import time
from typing import Any

import mmengine
import torch
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import join_path
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as MMEngineRunner
from mmengine.runner import save_checkpoint as save_remote
from mmengine.visualization import Visualizer
from torch import nn

import dense3d
from dense3d.datasets.strict import with_strict_dataset
from dense3d.engine import resume, seeding
from dense3d.engine.bad_batches import NonFiniteLossHook, SkippedSamplesHook
from dense3d.engine.channels import fill_channels
from dense3d.engine.checkpoint import load_checkpoint, load_into, save_checkpoint, weights_of
from dense3d.engine.checkpoint_hook import CheckpointHook
from dense3d.engine.console import quiet
from dense3d.engine.distributed import start_process_group
from dense3d.engine.interrupt import InterruptHook, Interrupts
from dense3d.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop
from dense3d.engine.optim import AmpOptimWrapper
from dense3d.engine.plain import make_plain, revive_histories
from dense3d.engine.seeding import SeededBatchSampler
from dense3d.errors import CheckpointError
from dense3d.registry import RUNNERS

# Ours under mmengine's names: taken whatever default scope a config inherits.
_LOOPS = (EpochBasedTrainLoop, IterBasedTrainLoop, ValLoop, TestLoop)
_OURS = {c.__name__: c for c in (*_LOOPS, CheckpointHook, AmpOptimWrapper)}


def _prefer_ours(cfg: Any) -> Any:
    """A copy of a config dict whose ``type`` is ours where mmengine has one of the same name."""
    if not isinstance(cfg, dict) or "type" not in cfg:
        return cfg
    kind = cfg["type"]
    is_mmengine = not isinstance(kind, str) and getattr(kind, "__module__", "").startswith("mmengine.")
    name = kind.split(".")[-1] if isinstance(kind, str) else kind.__name__ if is_mmengine else ""
    return {**cfg, "type": _OURS[name]} if name in _OURS else cfg


@RUNNERS.register_module()
class Runner(MMEngineRunner):
    """mmengine's ``Runner`` (its arguments and configs), with these differences.

    * Checkpoints hold plain data, are written whole or not at all and read with ``weights_only=True``.
    * Weights load strictly unless the config says ``strict_load = False``.
    * ``resume`` goes on to the same losses, from any iteration; the newest valid file is taken.
    * What transforms draw at random depends on the seed, the epoch and the sample's place only.
    * A bad sample stops the run or, with ``skip_bad_samples=True`` in the dataset, is counted and skipped.
    * An error about the images of a batch names their files.
    * Ctrl-C and SIGTERM save and stop; a loss that stays NaN stops the run.
    * Without a GPU, ``launcher="pytorch"`` or ``"slurm"`` uses gloo, and ``AmpOptimWrapper`` bfloat16.

    To change what is shown and logged, override ``build_logger``, ``_log_env`` and ``dump_config``.

    Attributes:
        last_metrics: of the latest validation of this process, or empty.
        skipped_steps: optimiser steps left out because the loss was not finite.
        interrupts: whether a signal asked the run to stop.
        is_training: whether :meth:`train` is running.
    """

    skipped_steps = 0
    is_training = False
    _opened: tuple[str, dict] | None = None
    _random_state: dict | None = None

    def __init__(self, *args, **kwargs) -> None:
        self.interrupts = Interrupts()
        self.last_metrics: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    # Environment

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Log everything to the file and only warnings to the screen, which :mod:`console` fills."""
        logger = super().build_logger(*args, **kwargs)
        quiet(logger)
        return logger

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build this run's own visualizer; one of a fixed name would be shared by all runs of a process."""
        if isinstance(visualizer, dict):
            visualizer = {**visualizer, "name": str(self._log_dir)}
        return super().build_visualizer(visualizer)

    def setup_env(self, env_cfg: dict) -> None:
        """Join the process group and set the environment up."""
        start_process_group(self._launcher, env_cfg.get("dist_cfg", {}))
        super().setup_env(env_cfg)

    def set_randomness(
        self, seed: int | None, diff_rank_seed: bool = False, deterministic: bool = False
    ) -> None:
        """Seed all generators; ``deterministic`` warns of operators that have no such form."""
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        super().set_randomness(seed, diff_rank_seed, deterministic)
        if deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap for distributed training; on the CPU without device numbers, with per-process batch norm."""
        if self.distributed and get_device() == "cpu":
            unused = self.cfg.get("find_unused_parameters", False)
            default = {"broadcast_buffers": False, "find_unused_parameters": unused}
            model_wrapper_cfg = {**default, **(model_wrapper_cfg or {}), "device_ids": None}
            # torch's SyncBatchNorm takes GPU tensors only: the model's go, and the config's wish for them.
            model = revert_sync_batchnorm(model)
            self.cfg["sync_bn"] = None
        return super().wrap_model(model_wrapper_cfg, model)

    # Building

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model; channel numbers that the config leaves to the backbone are filled in."""
        return super().build_model(fill_channels(model) if isinstance(model, dict) else model)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build our loop on a data loader whose batches carry seeds."""
        if not isinstance(loop, dict):
            return super().build_train_loop(loop)
        # The samplers need the seed of the run that is resumed.
        self._open_checkpoint_to_resume()
        loop = dict(loop)
        if "by_epoch" in loop and "type" not in loop:
            by_epoch = loop.pop("by_epoch")
            loop["type"] = EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop
        if isinstance(self._train_dataloader, dict):
            self._train_dataloader = self._with_seeds(self._train_dataloader)
        return super().build_train_loop(_prefer_ours(loop))

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build our loop, which names the files of a batch that the model refuses."""
        return super().build_val_loop(
            _prefer_ours({"type": ValLoop, **loop}) if isinstance(loop, dict) else loop
        )

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build our loop, which names the files of a batch that the model refuses."""
        return super().build_test_loop(
            _prefer_ours({"type": TestLoop, **loop}) if isinstance(loop, dict) else loop
        )

    @staticmethod
    def build_dataloader(dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False) -> Any:
        """Build a data loader; a sample that cannot be loaded is never replaced in silence."""
        return MMEngineRunner.build_dataloader(with_strict_dataset(dataloader), seed, diff_rank_seed)

    def _with_seeds(self, dataloader: dict) -> dict:
        dataloader = copy.deepcopy(dataloader)
        dataloader["batch_sampler"] = {
            "type": SeededBatchSampler,
            "seed": self.seed,
            "drop_last": dataloader.pop("drop_last", False),
            "batch_sampler": dataloader.pop("batch_sampler", None),
        }
        return dataloader

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimiser; ``AmpOptimWrapper`` is the one that also runs on a CPU."""
        return super().build_optim_wrapper(_prefer_ours(optim_wrapper))

    def register_hook(self, hook: Hook | dict, priority: Any = None) -> None:
        """Register a hook; ``CheckpointHook`` is ours."""
        super().register_hook(_prefer_ours(hook), priority)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """mmengine's default hooks and ``nonfinite_loss``; ``None`` takes one away."""
        hooks = {"nonfinite_loss": {"type": NonFiniteLossHook}, **(hooks or {})}
        if hooks["nonfinite_loss"] is None:
            del hooks["nonfinite_loss"]
        super().register_default_hooks(hooks)

    def register_hooks(self, default_hooks: dict | None = None, custom_hooks: list | None = None) -> None:
        """Register the config's hooks, those that resuming rests on, and one that tells of bad samples."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(SkippedSamplesHook())
        self.register_hook(resume.ValidationStateHook())
        self.register_hook(InterruptHook())

    # Running

    def train(self) -> nn.Module:
        """Train; see :class:`dense3d.engine.interrupt.TrainingInterrupted` for Ctrl-C."""
        self.is_training = True
        try:
            with self.interrupts.caught():
                return super().train()
        finally:
            self.is_training = False

    def restore_random_state(self) -> None:
        """Put the generators to where the resumed run had them; the loop calls it before the first step."""
        if self._random_state is not None:
            seeding.restore(self._random_state)
            self._random_state = None

    # Loading

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
        load_into(self._bare_model(), weights, strict, filename, self.logger.warning)
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

    # Saving

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Save the run's state; arguments as in mmengine. All processes must call it.

        Raises:
            CheckpointError: the disk is full; earlier checkpoints are unchanged.
        """
        state = resume.run_state(self)
        if not is_main_process():
            return
        checkpoint = {"meta": self._meta(meta or {}, by_epoch), "state_dict": self._bare_model().state_dict()}
        checkpoint["message_hub"] = self.message_hub.state_dict()
        checkpoint[resume.KEY] = state
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint["param_schedulers"] = _scheduler_states(self.param_schedulers)
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        checkpoint = make_plain(checkpoint, self.logger.warning)
        path = join_path(out_dir, filename, backend_args=backend_args)
        if backend_args or file_client_args or "://" in path:
            save_remote(checkpoint, path, file_client_args, backend_args)
        else:
            save_checkpoint(checkpoint, path)

    def _meta(self, meta: dict, by_epoch: bool) -> dict:
        """What the checkpoint tells about the run; hooks call before the loop's own counters advance."""
        meta = dict(meta)
        meta.setdefault("epoch", self.epoch + int(by_epoch))
        meta.setdefault("iter", self.iter + int(not by_epoch))
        meta.update(
            cfg=self._config_text,
            seed=self.seed,
            experiment_name=self.experiment_name,
            time=time.strftime("%Y%m%d_%H%M%S"),
            mmengine_version=mmengine.__version__,
            dense3d_version=dense3d.__version__,
        )
        metainfo = getattr(self.train_dataloader.dataset, "metainfo", None)
        if metainfo is not None:
            meta["dataset_meta"] = metainfo
        return meta

    @functools.cached_property
    def _config_text(self) -> str:
        # Formatting a long config takes seconds, too long for every save.
        return self.cfg.pretty_text

    def _bare_model(self) -> nn.Module:
        """The model itself, without what wraps it for several processes or for augmented testing."""
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        return model


def _classes(meta: dict) -> list[str] | None:
    """Class names in the meta of a checkpoint, under its present and its older names."""
    metainfo = meta.get("dataset_meta") or {}
    if not isinstance(metainfo, dict):
        return None
    found = metainfo.get("classes", metainfo.get("CLASSES", meta.get("CLASSES")))
    return [found] if isinstance(found, str) else list(found) if found is not None else None


def _few(names: list[str]) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")


def _scheduler_states(schedulers: list | dict) -> list | dict:
    if isinstance(schedulers, dict):
        return {name: _scheduler_states(items) for name, items in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]


def _load_schedulers(schedulers: list | dict, states: list | dict) -> None:
    if isinstance(schedulers, dict):
        for name, items in schedulers.items():
            _load_schedulers(items, states[name])
        return
    for scheduler, state in zip(schedulers, states):
        scheduler.load_state_dict(state)

"""mmengine's Runner with safe checkpoints, exact resume and training on machines without a GPU."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as MMEngineRunner
from mmengine.visualization import Visualizer
from torch import nn

from dense3d.datasets.strict import with_strict_dataset
from dense3d.engine import resume, seeding
from dense3d.engine.agreement import AgreementHook
from dense3d.engine.bad_batches import SkippedSamplesHook
from dense3d.engine.channels import fill_channels
from dense3d.engine.checkpoint_hook import CheckpointHook
from dense3d.engine.class_counts import fill_classes
from dense3d.engine.console import quiet
from dense3d.engine.data_classes import DataClasses, classes_of_config
from dense3d.engine.distributed import naming_lost_processes, start_process_group
from dense3d.engine.ema import EMAHook
from dense3d.engine.interrupt import InterruptHook, Interrupts
from dense3d.engine.loading import Loading
from dense3d.engine.lock import locked
from dense3d.engine.logger_hook import LoggerHook
from dense3d.engine.loops import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    TestLoop,
    ValLoop,
    require_batches,
)
from dense3d.engine.nonfinite import NonFiniteLossHook
from dense3d.engine.optim import AmpOptimWrapper
from dense3d.engine.pretrained import without_pretrained
from dense3d.engine.saving import Saving
from dense3d.engine.seeding import SeededBatchSampler
from dense3d.errors import ConfigError
from dense3d.evaluation.evaluators import with_our_metrics
from dense3d.registry import RUNNERS

# Ours under mmengine's names: taken whatever default scope a config inherits.
_LOOPS = (EpochBasedTrainLoop, IterBasedTrainLoop, ValLoop, TestLoop)
_OURS = {c.__name__: c for c in (*_LOOPS, CheckpointHook, EMAHook, LoggerHook, AmpOptimWrapper)}


def _prefer_ours(cfg: Any) -> Any:
    """A copy of a config dict whose ``type`` is ours where mmengine has one of the same name."""
    if not isinstance(cfg, dict) or "type" not in cfg:
        return cfg
    kind = cfg["type"]
    is_mmengine = not isinstance(kind, str) and getattr(kind, "__module__", "").startswith("mmengine.")
    name = kind.split(".")[-1] if isinstance(kind, str) else kind.__name__ if is_mmengine else ""
    return {**cfg, "type": _OURS[name]} if name in _OURS else cfg


@RUNNERS.register_module()
class Runner(Loading, Saving, MMEngineRunner):
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
        skipped_steps: optimiser steps left out because a loss or a gradient was not finite.
        interrupts: whether a signal asked the run to stop.
        is_training: whether :meth:`train` is running.
    """

    skipped_steps = 0
    is_training = False

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

    def dump_config(self) -> None:
        """Write the config into the work directory when training starts; a test leaves that one alone."""
        if self.is_training:
            super().dump_config()

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
        """Wrap for distributed training; on the CPU without device numbers, with per-process batch norm.

        A model in which nothing learns, such as semi-global matching, has no gradients to share and stays
        bare.
        """
        if self.distributed and not any(parameter.requires_grad for parameter in model.parameters()):
            return model.to(get_device())
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
        """Build the model; what the config leaves to the backbone and to the data is filled in.

        Nothing is fetched for a model whose weights all come from a checkpoint.
        """
        if not isinstance(model, dict):
            return super().build_model(model)
        self._open_checkpoint_to_resume()
        is_complete = self._load_from is not None and self.cfg.get("strict_load", True)
        if self._opened is not None or (is_complete and not self._resume):
            model = without_pretrained(model)
        return super().build_model(fill_classes(fill_channels(model), self._data_classes))

    def _data_classes(self) -> DataClasses | None:
        loaders = (self._train_dataloader, self._val_dataloader, self._test_dataloader)
        return classes_of_config(dict(zip(("training", "validation", "test"), loaders)))

    def build_evaluator(self, evaluator: Any) -> Evaluator:
        """Build the evaluator; metrics of mmdet of which there is one of ours become that."""
        return super().build_evaluator(with_our_metrics(evaluator))

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build our loop on a data loader whose batches carry seeds."""
        if not isinstance(loop, dict):
            return super().build_train_loop(loop)
        # The samplers need the seed of the run that is resumed.
        self._open_checkpoint_to_resume()
        loop = dict(self._train_loop if isinstance(self._train_loop, dict) else loop)
        if "by_epoch" in loop and "type" not in loop:
            by_epoch = loop.pop("by_epoch")
            loop["type"] = EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop
        if isinstance(self._train_dataloader, dict):
            self._train_dataloader = self._with_seeds(self._train_dataloader)
        built = super().build_train_loop(_prefer_ours(loop))
        require_batches(built.dataloader)
        return built

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
        """Register a hook; ``CheckpointHook`` and ``EMAHook`` are ours."""
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
        self.register_hook(AgreementHook())
        self.register_hook(SkippedSamplesHook())
        self.register_hook(resume.ValidationStateHook())
        self.register_hook(InterruptHook())

    # Running

    def train(self) -> nn.Module:
        """Train; see :class:`dense3d.engine.interrupt.TrainingInterrupted` for Ctrl-C."""
        self.is_training = True
        try:
            with naming_lost_processes(), self._alone(), self.interrupts.caught():
                self.dump_config()
                return super().train()
        finally:
            self.is_training = False

    def val(self) -> dict:
        """Validate; the metrics."""
        with naming_lost_processes():
            return super().val()

    def test(self) -> dict:
        """Test; the metrics."""
        with naming_lost_processes():
            return super().test()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other runs out of the work directory; process 0 does so for all."""
        with contextlib.ExitStack() as stack:
            refusal: list[str | None] = [None]
            if is_main_process():
                try:
                    stack.enter_context(locked(self.work_dir))
                except ConfigError as error:
                    refusal = [str(error)]
            broadcast_object_list(refusal)
            if refusal[0] is not None:
                raise ConfigError(refusal[0])
            yield

    def restore_random_state(self) -> None:
        """Put the generators to where the resumed run had them; the loop calls it before the first step."""
        if self._random_state is not None:
            seeding.restore(self._random_state)
            self._random_state = None

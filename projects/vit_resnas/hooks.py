"""Tells a supernet which epoch it is in."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from dense3d.errors import ConfigError
from dense3d.registry import HOOKS
from projects.vit_resnas.supernet import SuperViTResNAS


@HOOKS.register_module()
class SupernetHook(Hook):
    """At the start of each epoch, more choices are drawn and, in warm-up, channels sorted."""

    def before_train(self, runner: Runner) -> None:
        """See that the run has epochs and the model a supernet.

        Raises:
            ConfigError: it has not.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ConfigError("SupernetHook counts epochs: set train_cfg.type='EpochBasedTrainLoop'")
        if not isinstance(_backbone(runner), SuperViTResNAS):
            raise ConfigError("SupernetHook is of models whose backbone is a SuperViTResNAS")

    def before_train_epoch(self, runner: Runner) -> None:
        """Enter the epoch."""
        _backbone(runner).start_epoch(runner.epoch, runner.optim_wrapper.optimizer)


def _backbone(runner: Runner) -> object:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return getattr(model, "backbone", None)

"""The teacher of a model as the moving average of its student, with a momentum that rises to 1."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from dense3d.errors import ConfigError
from dense3d.registry import HOOKS


def rising_momentum(start: float, iteration: int, iterations: int) -> float:
    """From ``start`` at iteration 0 by half a cosine to 1 at the last (Grill et al., BYOL, 2020).

    Example:
        >>> [round(rising_momentum(0.9, i, 4), 3) for i in (0, 2, 4)]
        [0.9, 0.95, 1.0]
    """
    return 1 - (1 - start) * (math.cos(math.pi * iteration / iterations) + 1) / 2


@HOOKS.register_module()
class TeacherHook(Hook):
    """Calls the model's ``update_teacher(momentum)`` behind every iteration, from its ``momentum`` on.

    Raises:
        ConfigError: the model has no teacher.
    """

    priority = "NORMAL"

    def before_train(self, runner: Runner) -> None:
        """Look whether there is a teacher."""
        model = _bare(runner)
        if not hasattr(model, "update_teacher"):
            raise ConfigError(f"TeacherHook: {type(model).__name__} has no teacher; leave the hook out")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Update the teacher."""
        model = _bare(runner)
        model.update_teacher(rising_momentum(model.momentum, runner.iter, runner.max_iters))


def _bare(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model

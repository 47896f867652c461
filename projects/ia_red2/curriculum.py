"""The curriculum: groups one after another, of each first the interpreter, then the blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from dense3d.errors import ConfigError
from dense3d.registry import HOOKS

INTERPRETER, BLOCKS = "interpreter", "blocks"


class Stage(NamedTuple):
    """What is trained.

    Attributes:
        group: number of the group, from 0.
        part: ``"interpreter"``, by rewards; or ``"blocks"``, those from the group on and the head, by the
            classifier's loss.
    """

    group: int
    part: str


def stage_at(position: int, interpreter: int, blocks: int) -> Stage:
    """The stage of an iteration, or epoch, if stages last for so many.

    Example:
        >>> [stage_at(i, interpreter=1, blocks=2).group for i in range(6)]
        [0, 0, 0, 1, 1, 1]
        >>> stage_at(4, interpreter=1, blocks=2)
        Stage(group=1, part='blocks')
    """
    group, inside = divmod(position, interpreter + blocks)
    return Stage(group, INTERPRETER if inside < interpreter else BLOCKS)


@HOOKS.register_module()
class TokenCurriculum(Hook):
    """Tells a :class:`TokenReducingClassifier` in front of every iteration what to train.

    The stage follows from the iteration alone, so that a resumed run is where it was.

    Args:
        interpreter: how long an interpreter is trained, in iterations.
        blocks: how long the blocks behind it are trained.
        by_epoch: whether these are epochs.

    Raises:
        ConfigError: the model is another, a stage is empty, or the training is longer or shorter than all
            stages.
    """

    priority = "NORMAL"

    def __init__(self, interpreter: int, blocks: int, by_epoch: bool = False) -> None:
        if min(interpreter, blocks) < 1:
            raise ConfigError(
                f"TokenCurriculum: interpreter={interpreter}, blocks={blocks}: each lasts 1 or more"
            )
        self.interpreter, self.blocks, self.by_epoch = interpreter, blocks, by_epoch

    def before_train(self, runner: Runner) -> None:
        """See that model and length of the training fit."""
        model = _bare(runner)
        if not hasattr(model, "enter"):
            raise ConfigError(f"TokenCurriculum: a {type(model).__name__} has no interpreters to train")
        name = "max_epochs" if self.by_epoch else "max_iters"
        length = getattr(runner, name)
        groups = len(model.interpreters)
        wanted = groups * (self.interpreter + self.blocks)
        if length != wanted:
            raise ConfigError(
                f"TokenCurriculum: {groups} groups of {self.interpreter} + {self.blocks} last {wanted}, but "
                f"train_cfg.{name} is {length}: make them equal"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Enter the stage of this iteration."""
        model = _bare(runner)
        stage = stage_at(runner.epoch if self.by_epoch else runner.iter, self.interpreter, self.blocks)
        if model.stage != stage:
            model.enter(stage)
            runner.logger.info(f"group {stage.group + 1} of {len(model.interpreters)}: {stage.part}")


def _bare(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model

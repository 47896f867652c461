"""How fast batch norms forget, by epoch."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from dense3d.errors import ConfigError
from dense3d.registry import HOOKS


@HOOKS.register_module()
class NormMomentumHook(Hook):
    """Let the momentum of batch norms fall in steps, as VoteNet's official training does.

    The momentum is the weight of the latest batch in the running statistics. It follows from the epoch alone,
    so that a resumed run has the same.

    Args:
        start: in the first epochs.
        factor: by which it is multiplied every ``step`` epochs.
        step: epochs.
        least: it does not fall below.

    Raises:
        ConfigError: a number is out of range.

    Example:
        >>> hook = NormMomentumHook(start=0.5, factor=0.5, step=20, least=0.001)
        >>> [hook.momentum(epoch) for epoch in (0, 19, 20, 60)]
        [0.5, 0.5, 0.25, 0.0625]
    """

    def __init__(self, start: float = 0.5, factor: float = 0.5, step: int = 20, least: float = 0.001) -> None:
        if not 0 < least <= start <= 1 or not 0 < factor <= 1 or step < 1:
            raise ConfigError(
                f"NormMomentumHook(start={start}, factor={factor}, step={step}, least={least}) makes no "
                "sense: 0 < least <= start <= 1, 0 < factor <= 1 and step >= 1 must hold"
            )
        self.start, self.factor, self.step, self.least = start, factor, step, least

    def momentum(self, epoch: int) -> float:
        """Of an epoch, counted from 0."""
        return max(self.least, self.start * self.factor ** (epoch // self.step))

    def before_train_epoch(self, runner: Runner) -> None:
        """Set it in all batch norms of the model."""
        momentum = self.momentum(runner.epoch)
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = momentum

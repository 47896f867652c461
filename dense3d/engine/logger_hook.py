"""mmengine's logger, whose rows of evaluations also say after which iteration they were made."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import LoggerHook as MMEngineLoggerHook
from mmengine.runner import BaseLoop

from dense3d.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(MMEngineLoggerHook):
    """Adds ``iter`` to the rows of validations in the JSON log, as the rows of training have it.

    mmengine writes the epoch as their step, which is 0 throughout in runs that count iterations.
    """

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Log an evaluation; ``iter`` are the iterations of training that are done."""
        if not isinstance(runner._train_loop, BaseLoop):  # asking for the iteration would build the loop
            super().after_val_epoch(runner, metrics)
            return
        values, line = runner.log_processor.get_log_after_epoch(runner, len(runner.val_dataloader), "val")
        runner.logger.info(line)
        step = runner.epoch if self.log_metric_by_epoch else runner.iter
        runner.visualizer.add_scalars(
            {**values, "iter": runner.iter}, step=step, file_path=self.json_log_path
        )

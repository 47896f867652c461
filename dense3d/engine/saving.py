"""What a run saves: its whole state, as plain data, written whole or not at all."""

from __future__ import annotations

import functools
import time

import mmengine
from mmengine.dist import is_main_process
from mmengine.fileio import join_path
from mmengine.runner import save_checkpoint as save_remote

import dense3d
from dense3d.engine import resume
from dense3d.engine.checkpoint import save_checkpoint
from dense3d.engine.data_classes import metainfo_of
from dense3d.engine.loading import bare_model
from dense3d.engine.nonfinite import check_weights
from dense3d.engine.plain import make_plain


class Saving:
    """Part of :class:`dense3d.engine.runner.Runner`: writes checkpoints."""

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
            TrainingError: weights are not finite; earlier checkpoints are unchanged.
        """
        check_weights(self)
        state = resume.run_state(self)
        if not is_main_process():
            return
        checkpoint = {
            "meta": self._meta(meta or {}, by_epoch),
            "state_dict": bare_model(self.model).state_dict(),
        }
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
        metainfo = metainfo_of(self.train_dataloader.dataset)
        if metainfo is not None:
            meta["dataset_meta"] = metainfo
        return meta

    @functools.cached_property
    def _config_text(self) -> str:
        # Formatting a long config takes seconds, too long for every save.
        return self.cfg.pretty_text


def _scheduler_states(schedulers: list | dict) -> list | dict:
    if isinstance(schedulers, dict):
        return {name: _scheduler_states(items) for name, items in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]

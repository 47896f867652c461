"""mmengine's checkpoint hook in an order that never leaves a run without a checkpoint."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook

from dense3d.engine.checkpoint import load_checkpoint, save_checkpoint
from dense3d.engine.resumable import write_pointer
from dense3d.errors import ConfigError, did_you_mean
from dense3d.files import remove_stale_temporaries
from dense3d.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """Save as mmengine's hook does; delete an old checkpoint only when the new one is on the disk.

    ``by_epoch=False`` with an epoch-based loop saves inside epochs, and ``--resume`` goes on from there.
    Arguments as in mmengine.
    """

    def before_train(self, runner) -> None:
        """Prepare the folder; remove what a killed run was writing."""
        super().before_train(runner)
        self._best_ones_of_this_folder()
        # A better figure saves the last checkpoint again, in a resumed run as in one that went through.
        last = runner.message_hub.runtime_info.get("last_ckpt")
        self.last_ckpt = last and self.file_backend.join_path(self.out_dir, Path(last).name)
        if is_main_process() and "://" not in str(self.out_dir):
            remove_stale_temporaries(self.out_dir)

    def _best_ones_of_this_folder(self) -> None:
        """A copied folder's checkpoints name the best one of the original, which must stay."""
        if getattr(self, "best_ckpt_path", None):
            self.best_ckpt_path = self.file_backend.join_path(self.out_dir, Path(self.best_ckpt_path).name)
        for key, path in getattr(self, "best_ckpt_path_dict", {}).items():
            if path:
                self.best_ckpt_path_dict[key] = self.file_backend.join_path(self.out_dir, Path(path).name)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        outdated = self._keep(runner, step) if self.max_keep_ckpts > 0 else None
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        write_pointer(runner.work_dir, self.last_ckpt)
        if outdated is not None:
            self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(outdated)))

    def _keep(self, runner, step: int) -> int | None:
        """Note that ``step`` has a checkpoint; the step whose checkpoint is then one too many."""
        if self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step:
            return None
        full = len(self.keep_ckpt_ids) == self.max_keep_ckpts
        outdated = self.keep_ckpt_ids.popleft() if full else None
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        return outdated

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    @master_only
    def _publish_model(self, runner, ckpt_path: str) -> None:
        """Write the parts named by ``published_keys`` to a file that carries their hash in its name."""
        checkpoint = load_checkpoint(ckpt_path)
        published = {key: checkpoint[key] for key in self.published_keys if key in checkpoint}
        digest = hashlib.sha256(pickle.dumps(published)).hexdigest()[:8]
        path = Path(ckpt_path).with_name(f"{Path(ckpt_path).stem}-{digest}.pth")
        save_checkpoint(published, path)
        runner.logger.info(f"published {ckpt_path} as {path}")

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        if not self.save_best:  # nor has it a file backend, where there is no training
            return
        for key in self.save_best:
            if key != "auto" and key not in metrics:
                hint = did_you_mean(key, metrics)
                raise ConfigError(
                    f"CheckpointHook(save_best={key!r}): the evaluation has no such figure{hint} "
                    f"(it has {', '.join(list(metrics)[:8])}); mend it and go on with --resume"
                )
        with self._removals_last(runner):
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _removals_last(self, runner) -> Iterator[None]:
        """mmengine deletes the previous best checkpoint before it writes the new one; put that off."""
        backend = self.file_backend
        self.file_backend = _LateRemovals(backend)
        try:
            yield
            late = self.file_backend.removed
        finally:
            self.file_backend = backend
        best = [getattr(self, "best_ckpt_path", None), *getattr(self, "best_ckpt_path_dict", {}).values()]
        for path in late:
            if path not in best:
                self._remove(path)


class _LateRemovals:
    """A file backend that notes what is to be removed."""

    def __init__(self, backend) -> None:
        self._backend = backend
        self.removed: list[str] = []

    def remove(self, path: str) -> None:
        self.removed.append(path)

    rmtree = remove

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

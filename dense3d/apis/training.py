"""Training from a config, in one call."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.setup import prepare_config, require, use_amp
from dense3d.config.building import explained_building
from dense3d.datasets.scan import scan_before_training
from dense3d.engine import Runner
from dense3d.engine.checkpoint import look_for
from dense3d.engine.console import show_notes
from dense3d.engine.lock import locked
from dense3d.engine.resumable import read_pointer
from dense3d.engine.settings import checked_choice
from dense3d.garbage import paused_collection


@dataclass(frozen=True)
class TrainedRun:
    """Where a finished run left things."""

    config: Config = field(repr=False)
    work_dir: Path
    checkpoint: Path | None
    metrics: dict[str, float]


def train(
    config: str | Path | Config,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    amp: bool = False,
    options: dict[str, Any] | None = None,
    launcher: str = "none",
    seed: int | None = None,
    deterministic: bool = False,
    resume_settings: str | None = None,
) -> TrainedRun:
    """Train and evaluate what a config describes.

    Args:
        config: config file, name of a shipped one, or loaded config.
        work_dir: folder for checkpoints and logs; ``work_dirs/<config name>`` by default.
        resume: ``True`` or ``"auto"`` continues from the newest valid checkpoint in ``work_dir`` (or
            starts when there is none), a path from that checkpoint.
        amp: automatic mixed precision.
        options: settings that override the config's, by dotted key.
        launcher: ``"none"``, ``"pytorch"`` (torchrun) or ``"slurm"``.
        seed: of all random numbers; the config's, or 0.
        deterministic: only deterministic algorithms (slower on GPUs).
        resume_settings: whose optimizer, schedules, length and batch size hold when the config has changed
            since the checkpoint was written: ``"config"`` (the default) or ``"checkpoint"``.

    Returns:
        The work directory, its last checkpoint and the last evaluation's metrics.

    Raises:
        ConfigError, DataError, CheckpointError, TrainingError: one sentence on what is wrong.
    """
    with paused_collection():
        cfg = prepare_config(config, options, work_dir, launcher, ("train", "val"))
        require(cfg, "model", "train_dataloader", "train_cfg", "optim_wrapper")
        if amp:
            use_amp(cfg)
        randomness = dict(cfg.get("randomness") or {})  # configs of mmdet and mmseg have none
        randomness["seed"] = seed if seed is not None else randomness.get("seed") or 0
        if deterministic:
            randomness["deterministic"] = True
        cfg.randomness = randomness
        if resume in (True, "auto"):
            cfg.resume = True
            cfg.load_from = None
        elif resume:
            cfg.resume = True
            cfg.load_from = str(resume)
        if resume_settings is not None:
            cfg.resume_settings = resume_settings
        checked_choice(cfg.get("resume_settings", "config"))
        if cfg.get("load_from"):
            look_for(cfg.load_from)
    # Of several processes the runner's first one locks for all.
    with locked(cfg.work_dir) if launcher == "none" else nullcontext():
        with paused_collection():
            notes = show_notes(scan_before_training(cfg))
            with explained_building(cfg):
                runner = Runner.from_cfg(cfg)
            for line in notes:
                runner.logger.info(line)
        with explained_building(cfg):
            runner.train()
    return TrainedRun(
        config=cfg,
        work_dir=Path(cfg.work_dir),
        checkpoint=read_pointer(cfg.work_dir),
        metrics=runner.last_metrics,
    )

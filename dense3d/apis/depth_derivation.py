"""Step B of ECO-M2F in one call: the depth that each training image should leave the encoder at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from dense3d.early_exit.targets import ExitTargets


def derive_depths(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | Path,
    beta: float,
    work_dir: str | Path | None = None,
    options: dict[str, Any] | None = None,
    launcher: str = "none",
) -> ExitTargets:
    """Run a parent on its training images, stopped at every exit, and write the target depths.

    Args:
        config: config of the parent; its training images go through its test pipeline.
        checkpoint: of the parent.
        out: file to write.
        beta: quality, in 0 .. 1, that one more layer has to earn.
        work_dir: folder for the log.
        options: settings that override the config's, by dotted key.
        launcher: ``"none"``, ``"pytorch"`` or ``"slurm"``.

    Raises:
        ConfigError, DataError, CheckpointError: one sentence on what is wrong.
    """
    from dense3d.apis.setup import prepare_config
    from dense3d.config.building import explained_building
    from dense3d.early_exit.quality_loop import measure_training_data
    from dense3d.engine import Runner

    cfg = prepare_config(config, options, work_dir, launcher, ("train",))
    origin = f"{Path(cfg.filename).name if cfg.filename else 'config'}, {Path(checkpoint).name}"
    measure_training_data(cfg, beta, str(out), origin)
    cfg.load_from, cfg.resume = str(checkpoint), False
    with explained_building(cfg):
        Runner.from_cfg(cfg).test()
    return ExitTargets.read(out)


def rederive_depths(source: str | Path, out: str | Path, beta: float) -> ExitTargets:
    """The target depths of another trade-off, from the qualities in a file.

    Raises:
        DataError: the file cannot be used.
    """
    targets = ExitTargets.read(source).with_beta(beta)
    targets.write(out)
    return targets


def print_targets(targets: ExitTargets) -> None:
    """A line for each exit: quality, cost, and how many images aim at it."""
    known = len(targets.depths)
    title = f"beta {targets.beta:g}: {known} images, {len(targets.quality) - known} without quality"
    table = Table("depth", "mean quality", "GFLOPs", "images", "share", title=title)
    rows = zip(targets.exits, targets.mean_quality(), targets.gflops, targets.counts())
    for depth, quality, gflops, count in rows:
        share = f"{100 * count / max(known, 1):.1f} %"
        table.add_row(str(depth), f"{quality:.4f}", f"{gflops:.3f}", str(count), share)
    console = Console()
    (console if console.is_terminal else Console(width=100)).print(table)

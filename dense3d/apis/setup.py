"""From a config and the options of a command line to a config that is ready to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from dense3d.config import check_config, load_config
from dense3d.config.moving import SPLITS, refuse_left_behind
from dense3d.engine.console import quiet
from dense3d.errors import ConfigError
from dense3d.files import require_writable_folder


def prepare_config(
    config: str | Path | Config,
    options: dict[str, Any] | None,
    work_dir: str | Path | None,
    launcher: str,
    splits: tuple[str, ...] = SPLITS,
) -> Config:
    """Load ``config``, fill in what the machine decides, make synthetic data that it reads, and check it.

    Args:
        config: config file, name of a shipped one, or loaded config.
        options: settings that override the config's.
        work_dir: folder for logs and checkpoints.
        launcher: as for :func:`dense3d.apis.train`.
        splits: whose data the command reads, ``"train"``, ``"val"`` and ``"test"``.

    Raises:
        ConfigError: see :func:`dense3d.config.load_config` and :func:`dense3d.config.check_config`.
    """
    quiet(MMLogger.get_current_instance())
    cfg = config if isinstance(config, Config) else load_config(config, options)
    check_config(cfg)
    name = Path(cfg.filename).stem if cfg.filename else "run"
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or Path("work_dirs") / name)
    require_writable_folder(cfg.work_dir)
    cfg.launcher = launcher
    if not torch.cuda.is_available():
        environment = cfg.get("env_cfg") or {}
        cfg.env_cfg = {**environment, "dist_cfg": {**environment.get("dist_cfg", {}), "backend": "gloo"}}
    hooks = list(cfg.get("custom_hooks") or [])
    named = {str(hook.get("type")).rpartition(".")[2] for hook in hooks}
    for name in ("ConsoleHook", "CurveHook"):
        if name not in named:
            hooks.append({"type": f"dense3d.{name}"})
    cfg.custom_hooks = hooks
    make_synthetic_data(cfg, splits)
    refuse_left_behind(cfg, splits)
    return cfg


def make_synthetic_data(cfg: Config, splits: tuple[str, ...] = SPLITS) -> None:
    """Write the synthetic data set of ``synthetic_data``, unless it is there or no data set reads it.

    Raises:
        ConfigError: the settings of the data set are wrong.
    """
    recipe = cfg.get("synthetic_data")
    if recipe is None or not _reads_below(cfg, recipe.get("root"), splits):
        return
    from dense3d.datasets.synthetic import ensure_dataset

    try:
        ensure_dataset(**recipe)
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"{cfg.filename or 'the config'}: synthetic_data: {error}") from error


def _reads_below(cfg: Config, root: object, splits: tuple[str, ...]) -> bool:
    """Whether a loader or metric of one of the splits names a path at or below ``root``."""
    if not isinstance(root, (str, Path)):
        raise ConfigError(
            f"{cfg.filename or 'the config'}: synthetic_data.root must be a folder, not {root!r}"
        )
    parts = [cfg.get(f"{split}_{part}") for split in splits for part in ("dataloader", "evaluator")]
    folder = Path(root).absolute()
    return any(Path(text).absolute().is_relative_to(folder) for text in _texts(parts) if "\0" not in text)


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _texts(value)


def require(cfg: Config, *keys: str) -> None:
    """Stop unless all the settings are there that a command works with.

    Raises:
        ConfigError: one is missing.
    """
    missing = [key for key in keys if cfg.get(key) is None]
    if missing:
        raise ConfigError(f"{cfg.filename or 'the config'} has no {' and no '.join(missing)}")


def use_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper to automatic mixed precision (bfloat16 where there is no GPU).

    Raises:
        ConfigError: the config's optimizer wrapper has no mixed-precision counterpart.
    """
    wrapper = cfg.optim_wrapper
    kind = str(wrapper.get("type", "OptimWrapper")).rpartition(".")[2]
    if kind == "AmpOptimWrapper":
        return
    if kind != "OptimWrapper":
        raise ConfigError(f"--amp works with type='OptimWrapper', but this config uses {kind!r}")
    wrapper.type = "AmpOptimWrapper"
    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        wrapper.setdefault("loss_scale", "dynamic")
    else:
        wrapper.setdefault("dtype", "bfloat16")

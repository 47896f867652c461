"""From a config and the options of a command line to a config that is ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from dense3d.config import check_config, load_config
from dense3d.engine.console import quiet
from dense3d.errors import ConfigError
from dense3d.files import require_writable_folder


def prepare_config(
    config: str | Path | Config,
    options: dict[str, Any] | None,
    work_dir: str | Path | None,
    launcher: str,
) -> Config:
    """Load ``config``, fill in what the machine decides, make synthetic data that it names, and check it.

    Raises:
        ConfigError: see :func:`dense3d.config.load_config` and :func:`dense3d.config.check_config`.
    """
    quiet(MMLogger.get_current_instance())
    cfg = config if isinstance(config, Config) else load_config(config, options)
    name = Path(cfg.filename).stem if cfg.filename else "run"
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or Path("work_dirs") / name)
    require_writable_folder(cfg.work_dir)
    cfg.launcher = launcher
    if not torch.cuda.is_available():
        cfg.setdefault("env_cfg", {}).setdefault("dist_cfg", {})["backend"] = "gloo"
    hooks = list(cfg.get("custom_hooks") or [])
    named = {str(hook.get("type")).rpartition(".")[2] for hook in hooks}
    for name in ("ConsoleHook", "CurveHook"):
        if name not in named:
            hooks.append({"type": f"dense3d.{name}"})
    cfg.custom_hooks = hooks
    check_config(cfg)
    make_synthetic_data(cfg)
    return cfg


def make_synthetic_data(cfg: Config) -> None:
    """Write the synthetic data set that a config describes under ``synthetic_data``, unless it is there."""
    recipe = cfg.get("synthetic_data")
    if recipe is None:
        return
    from dense3d.datasets.synthetic import ensure_dataset

    ensure_dataset(**recipe)


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

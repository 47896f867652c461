"""Configuration: loading with inheritance, command-line options, and checking that names every fault.

    cfg = load_config("configs/detr/detr_r50_8xb2-150e_coco.py", {"train_dataloader.batch_size": 4})
    check_config(cfg)   # raises one ConfigError that lists all faults

Names are imported on first use, so that command lines can answer ``--help`` without mmengine.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "load_config": "load",
    "check_config": "check",
    "find_faults": "check",
    "parse_options": "options",
    "apply_options": "options",
    "resolve_config": "shipped",
}
__all__ = ["apply_options", "check_config", "find_faults", "load_config", "parse_options", "resolve_config"]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

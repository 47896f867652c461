"""Configuration: loading with inheritance, command-line options, and checking that names every fault.

    cfg = load_config("configs/detr/detr_r50_8xb2-150e_coco.py", {"train_dataloader.batch_size": 4})
    check_config(cfg)   # raises one ConfigError that lists all faults

Names are imported on first use, so that command lines can answer ``--help`` without mmengine.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "check": ["check_config", "find_faults"],
        "load": ["load_config", "mark_scopes"],
        "options": ["parse_options", "apply_options"],
        "shipped": ["resolve_config"],
    },
)

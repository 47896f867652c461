"""What the command lines do, from Python.

    from dense3d.apis import train, test, infer
    run = train("configs/synthetic/dino_r18_synthetic-coco.py")
    test(run.config, run.checkpoint)
    infer(run.config, run.checkpoint, ["photos/*.jpg"], out="results")

Names are imported on first use, so that command lines can answer ``--help`` without torch.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "train": "training",
    "TrainedRun": "training",
    "test": "testing",
    "infer": "inference",
    "Inferencer": "inference",
    "convert_checkpoint": "conversion",
    "browse": "browsing",
    "evaluate_kitti": "kitti_evaluation",
    "evaluate_panoptic": "panoptic_evaluation",
    "check_data": "browsing",
    "analyse_relations": "relation_analysis",
    "export_detector": "exporting",
    "compare_runs": "comparison",
    "derive_depths": "depth_derivation",
    "exit_curve": "depth_curve",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

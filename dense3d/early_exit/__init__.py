"""Early exit from a deformable encoder: each image runs as many of its layers as it needs.

Yao et al., "Efficient Transformer Encoders for Mask2Former-style models" (ECO-M2F, arXiv 2404.15244): a
parent whose decoder works on the state of every depth, a file with the best depth of each training image for
a trade-off of quality and cost, and a gate that predicts it. Nothing here knows the task; the models are in
``dense3d.segmentation.eco_m2f`` and ``dense3d.detection2d.early_exit``. Names are imported on first use.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "CostTable": "cost",
    "EarlyExit": "recipe",
    "EarlyExitEncoder": "encoder",
    "ExitTargets": "targets",
    "Gate": "gate",
    "best_depths": "targets",
    "count_gflops": "cost",
    "utilities": "targets",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

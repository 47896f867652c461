"""Early exit from a deformable encoder: each image runs as many of its layers as it needs.

Yao et al., "Efficient Transformer Encoders for Mask2Former-style models" (ECO-M2F, arXiv 2404.15244): a
parent whose decoder works on the state of every depth, a file with the best depth of each training image for
a trade-off of quality and cost, and a gate that predicts it. Nothing here knows the task; the models are in
``dense3d.segmentation.eco_m2f`` and ``dense3d.detection2d.early_exit``. Names are imported on first use.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "cost": ["CostTable", "count_gflops"],
        "encoder": ["EarlyExitEncoder"],
        "gate": ["Gate", "gate_loss"],
        "recipe": ["EarlyExit"],
        "targets": ["ExitTargets", "best_depths", "utilities"],
    },
)

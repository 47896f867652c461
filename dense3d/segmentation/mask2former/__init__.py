"""Mask2Former (arXiv:2112.01527) on mmdet's classes, with the official losses, results and initialisation."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "criterion": [
            "WEIGHTS",
            "Draw",
            "Mask2FormerCriterion",
            "MaskMatcher",
            "at_points",
            "pair_costs",
            "uncertain_points",
            "uniform",
        ],
        "head": ["FINEST_STRIDE", "Mask2FormerHead", "Mask2FormerPixelDecoder"],
        "model": ["Mask2Former", "Mask2FormerPostProcess"],
        "semantic_head": ["Mask2FormerSemanticHead"],
    },
)

"""Mask2Former (arXiv:2112.01527) on mmdet's classes, with the official losses, results and initialisation."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "criterion": ["WEIGHTS", "Mask2FormerCriterion"],
        "head": ["FINEST_STRIDE", "Mask2FormerHead", "Mask2FormerPixelDecoder"],
        "matching": ["MaskMatcher", "pair_costs"],
        "model": ["Mask2Former", "Mask2FormerPostProcess"],
        "points": ["Draw", "at_points", "uncertain_points", "uniform"],
        "semantic_head": ["Mask2FormerSemanticHead"],
    },
)

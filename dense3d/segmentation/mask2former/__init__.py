"""Mask2Former (arXiv:2112.01527) on mmdet's classes, with the official losses, results and initialisation."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__, submod_attrs={"model": ["Mask2Former"], "semantic_head": ["Mask2FormerSemanticHead"]}
)

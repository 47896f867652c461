"""Mask2Former (arXiv:2112.01527) on mmdet's classes, with the official losses, results and initialisation."""

from dense3d.segmentation.mask2former.model import Mask2Former
from dense3d.segmentation.mask2former.semantic_head import Mask2FormerSemanticHead

__all__ = ["Mask2Former", "Mask2FormerSemanticHead"]

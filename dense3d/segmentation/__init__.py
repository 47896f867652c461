"""Segmentation by mask transformers: panoptic, instance and semantic, with any backbone of the registry."""

from dense3d.segmentation import eco_m2f, kmax_deeplab, mask2former

__all__ = ["eco_m2f", "kmax_deeplab", "mask2former"]

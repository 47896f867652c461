"""Segmentation by mask transformers: panoptic, instance and semantic, with any backbone of the registry."""

from dense3d.segmentation import kmax_deeplab, mask2former

__all__ = ["kmax_deeplab", "mask2former"]

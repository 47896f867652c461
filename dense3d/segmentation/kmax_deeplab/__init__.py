"""kMaX-DeepLab (arXiv:2207.04044): k-means cross-attention, axial pixel decoder, losses, panoptic results."""

from dense3d.segmentation.kmax_deeplab.backbones import KMaXConvNeXt, ResNetWithStem
from dense3d.segmentation.kmax_deeplab.model import KMaXDeepLab

__all__ = ["KMaXConvNeXt", "KMaXDeepLab", "ResNetWithStem"]

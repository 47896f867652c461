"""kMaX-DeepLab (arXiv:2207.04044): k-means cross-attention, axial pixel decoder, losses, panoptic results."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__, submod_attrs={"backbones": ["KMaXConvNeXt", "ResNetWithStem"], "model": ["KMaXDeepLab"]}
)

"""ECO-M2F (arXiv 2404.15244): Mask2Former whose images leave the pixel decoder's encoder early."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"model": ["ECOM2F"]})

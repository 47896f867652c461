"""ECO-M2F (arXiv 2404.15244): Mask2Former whose images leave the pixel decoder's encoder early."""

from dense3d.segmentation.eco_m2f.model import ECOM2F

__all__ = ["ECOM2F"]

"""Adapters: a plain vision transformer as a backbone with maps of strides 4, 8, 16 and 32."""

from dense3d.adapters.simple_pyramid import RescaledPyramid, SimplePyramid
from dense3d.adapters.vit_comer import ViTCoMer

__all__ = ["RescaledPyramid", "SimplePyramid", "ViTCoMer"]

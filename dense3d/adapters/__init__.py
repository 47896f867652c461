"""Adapters: a plain vision transformer as a backbone with maps of strides 4, 8, 16 and 32."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__, submod_attrs={"simple_pyramid": ["RescaledPyramid", "SimplePyramid"], "vit_comer": ["ViTCoMer"]}
)

"""Masked autoencoders of radiance grids (Irshad et al., ECCV 2024)."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"model": ["NeRFMAE"]})

"""Masked autoencoders of point clouds (Pang et al., ECCV 2022)."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"model": ["PointMAE"]})

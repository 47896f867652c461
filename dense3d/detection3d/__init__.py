"""Detectors of 3D boxes."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submodules=["monodino_detr", "threedetr", "votenet"])

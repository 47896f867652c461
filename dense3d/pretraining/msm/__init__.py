"""Masked scene modelling: features of hidden voxels from visible ones (Hermosilla et al., CVPR 2025)."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={"model": ["MaskedSceneModeling"], "views": ["SceneViewsPreprocessor"]},
)

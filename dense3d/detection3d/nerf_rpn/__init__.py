"""NeRF-RPN (arXiv 2211.11646): oriented boxes of objects in radiance grids."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "anchor_head": ["AnchorHead3D", "AnchorPredictions"],
        "detector": ["NerfRPN"],
        "fcos_head": ["FCOSHead3D", "LocationPredictions"],
        "selection": ["Proposals"],
    },
)

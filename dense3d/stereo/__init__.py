"""Stereo depth and optical flow: networks, and what goes with them."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submodules=["ccnext"],
    submod_attrs={"data_preprocessor": ["StereoDataPreprocessor"]},
)

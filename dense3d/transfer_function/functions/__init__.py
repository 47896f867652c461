"""1D and 2D transfer functions of raw volumes, histograms, presets, and files that other programs read."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "curves": ["TransferFunction"],
    },
)

"""Networks on point clouds, and what goes with them."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={"data_preprocessor": ["PointDataPreprocessor"]},
)

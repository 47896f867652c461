"""Self-supervised pre-training: masked autoencoders of images and clouds, cross-view completion of pairs."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={"croco": ["CroCo"], "image_mae": ["MaskedAutoencoder"], "point_mae": ["PointMAE"]},
)

"""Self-supervised pre-training: masked autoencoders of images, clouds and grids, completion of pairs."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "croco": ["CroCo"],
        "image_mae": ["MaskedAutoencoder"],
        "nerf_mae": ["NeRFMAE"],
        "point_mae": ["PointMAE"],
    },
)

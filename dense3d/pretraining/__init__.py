"""Self-supervised pre-training: masked autoencoders of images, clouds and scenes, cross-view completion."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "croco": ["CroCo"],
        "gaussian2scene": ["Gaussian2SceneStage1", "Gaussian2SceneStage2"],
        "image_mae": ["MaskedAutoencoder"],
        "point_mae": ["PointMAE"],
    },
)

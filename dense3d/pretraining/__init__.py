"""Self-supervised pre-training: masked autoencoders of images, clouds, scenes and grids, cross-view pairs."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "croco": ["CroCo"],
        "gaussian2scene": ["Gaussian2SceneStage1", "Gaussian2SceneStage2"],
        "image_mae": ["MaskedAutoencoder"],
        "nerf_mae": ["NeRFMAE"],
        "point_mae": ["PointMAE"],
    },
)

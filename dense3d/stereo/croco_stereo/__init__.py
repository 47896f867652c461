"""CroCo v2 for stereo and optical flow (arXiv 2211.10408): two views in, tiles merged by confidence."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "features": ["DenseTokens", "decoder_hooks", "encoder_hooks"],
        "model": ["CrocoFlow", "CrocoStereo"],
        "monocular": ["CrocoMonocular"],
        "tiling": [
            "TileWeight",
            "Tiles",
            "covering_size",
            "resize_displacements",
            "resize_images",
            "tile_starts",
        ],
    },
)

"""dense3d: dense prediction in 2D and 3D vision, one registry, one command, exact numbers.

    predictor = dense3d.load("dino_r18_synthetic-coco", "checkpoint.pth")
    result = predictor("photo.jpg")
    result.save("drawn.jpg")

Names are imported on first use.
"""

from lazy_loader import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__, submodules=["transfer_function"], submod_attrs={"apis": ["build_model", "load"]}
)

"""Predictions as plain data: one :class:`Result` an image, with a part for each task of the model."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "classification": ["Classification"],
        "cloud": ["CloudReconstruction", "CloudResult"],
        "disparity": ["Disparity"],
        "flow": ["Flow"],
        "grid": ["GridResult"],
        "instances": ["Instances"],
        "objects3d": ["Objects3D"],
        "panoptic": ["Panoptic", "Segment"],
        "part": ["ModelInfo", "Part"],
        "reconstruction": ["Reconstruction"],
        "result": ["Result"],
        "scene": ["SceneResult"],
        "semantic": ["Semantic"],
    },
)

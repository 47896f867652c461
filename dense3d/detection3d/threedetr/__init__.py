"""3DETR and 3DETR-m (arXiv 2109.08141): oriented boxes in point clouds by a transformer."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "criterion": ["SetCriterion", "SetTargets", "set_targets"],
        "detector": ["ThreeDETR"],
        "heads": ["BoxHeads", "BoxPredictions"],
        "overlap": ["generalised_iou"],
        "position": ["FourierPosition", "SceneBounds"],
        "transformer": ["BoxDecoderLayers", "PointEncoder"],
    },
)

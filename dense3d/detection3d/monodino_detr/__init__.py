"""MonoDETR (arXiv 2203.13310) and MonoDINO-DETR (arXiv 2502.00315): 3D boxes from one image."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "criterion": ["DepthMapLoss", "MonoCriterion"],
        "depth": ["Camera", "DepthPredictor", "PyramidDepthSource", "RelativeDepthSource"],
        "detector": ["MonoDETR", "MonoDINODETR"],
        "features": ["HierarchicalFeatureFusion"],
        "matching": ["ObjectMatcher", "ObjectTargets"],
        "prediction": ["Predictions", "decode_frame", "top_queries"],
        "transformer": ["DepthGuidedDecoder", "VisualEncoder"],
    },
)

"""ViDT and ViDT+ (arXiv 2110.03921, 2204.07962): a Swin that carries [DET] tokens, and a decoder."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "body": ["BodyTokens", "ReconfiguredSwin"],
        "criterion": ["Predictions", "ViDTCriterion"],
        "decoder": ["Decoded", "Memory", "TokenLabelHead", "ViDTDecoder"],
        "detector": ["ViDT"],
        "distillation": ["Teacher"],
        "mask_vectors": ["MaskVectors"],
        "neck": ["LevelProjection", "PyramidFusion"],
        "neck_free": ["NeckFreeViDT"],
        "targets": ["Targets"],
    },
)

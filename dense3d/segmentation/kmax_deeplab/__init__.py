"""kMaX-DeepLab (arXiv:2207.04044): k-means cross-attention, axial pixel decoder, losses, panoptic results."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "backbones": ["KMaXConvNeXt", "ResNetWithStem"],
        "criterion": [
            "WEIGHTS",
            "KMaXCriterion",
            "class_loss",
            "class_weights",
            "discrimination_loss",
            "gumbel_top_k",
            "inverse_areas",
            "mask_losses",
            "mean_of_nonzero",
            "pixel_logits",
            "semantic_loss",
            "subsample",
        ],
        "decoder": [
            "KMaXDecoder",
            "KMaXDecoderLayer",
            "KMaXPredictor",
            "Prediction",
            "QueryAttention",
            "assign_clusters",
            "gather_clusters",
        ],
        "layers": ["ConvNorm", "resize", "truncated_normal_"],
        "matching": ["PanopticTargets", "SegmentMatches", "match", "panoptic_targets", "similarities"],
        "model": ["KMaXDeepLab", "KMaXPostProcess"],
        "pixel_decoder": [
            "REACH",
            "AxialAttention",
            "AxisAttention",
            "KMaXPixelDecoder",
            "ResidualBlock",
            "ResizedFuse",
            "relative_index",
        ],
        "semantic_head": ["ASPP", "CoarseSemanticHead", "PooledBranch", "SemanticHead"],
    },
)

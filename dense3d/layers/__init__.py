"""What more than one model uses: attention, transformer blocks, positions, matching, norms."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "assignment": ["MatchedPairs", "assign", "focal_cost", "iou_and_giou", "mean_number", "own_pairs"],
        "attention": ["SelfAttention", "WindowAttention", "biased_attention", "from_windows", "to_windows"],
        "conv_stem": ["ConvDownsampling", "ConvStem"],
        "class_heads": ["MapHead", "TokenHead", "small_linear"],
        "cross_attention": ["CrossAttention", "CrossAttentionBlock"],
        "decay_attention": ["DecayAttention", "column_attention", "row_attention", "whole_attention"],
        "deformable_attention": ["DeformableEncoderLayer", "MultiScaleDeformableAttention", "cell_centres"],
        "depthwise_mlp": ["DepthwiseConv", "DepthwiseMLP"],
        "dpt": ["DPTHead"],
        "dynamic_position": ["DynamicPositionBias"],
        "feature_maps": ["ChannelLayerNorm", "ConvBottleneck", "PooledLevels"],
        "gated_unit": ["GatedUnit"],
        "group_attention": ["GroupAttention", "from_groups", "to_groups"],
        "laplacian": ["DenseL1Loss", "LaplacianLoss", "LaplacianLossBounded", "LaplacianLossBounded2"],
        "map_head": ["NormedMapHead"],
        "metaformer": ["MetaFormerBlock", "RandomMixing", "mixer"],
        "mlp": ["MLP", "FeedForward", "SwiGlu", "swiglu_hidden_dim"],
        "patch_embed": [
            "PatchEmbed",
            "map_to_tokens",
            "resize_position_table",
            "sincos_position_table",
            "tokens_to_map",
        ],
        "pixel_patches": ["normalised_patches", "paint", "patch_loss", "patchify", "unpatchify"],
        "position_relation": ["PositionRelation", "relation_bias"],
        "projected_classifier": ["ProjectedClassifier"],
        "relative_position": ["RelativePositionBias", "resize_relative_table"],
        "rotary": ["AxialRope", "rotate"],
        "rotary_grid": ["GridRope", "grid_positions"],
        "significance_attention": ["EnhancedAttention", "GuidedAttention", "HybridAttention"],
        "sine_position": ["box_position", "map_position", "sine_features"],
        "strip_attention": ["MapReduction", "StripAttention"],
        "transformer_block": ["DropPath", "LayerScale", "TransformerBlock"],
    },
)

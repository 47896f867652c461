"""Backbones: image ``(B, 3, H, W)`` to a tuple of feature maps ``(B, C_i, ceil(H/s_i), ceil(W/s_i))``."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "convnext": ["ConvNeXt"],
        "croco": ["CrocoNetwork"],
        "crossformer": ["CrossFormer"],
        "focalnet": ["FocalNet"],
        "ppma": ["PPMA"],
        "rmt": ["RMT"],
        "metaformer": ["MetaFormer"],
        "poolformer": ["PoolFormer"],
        "s2aformer": ["S2AFormer"],
        "sgformer": ["SGFormer"],
        "swin": ["Swin"],
        "timm_backbone": ["TimmBackbone"],
        "uniformer": ["UniFormer"],
        "vit": ["VisionTransformer"],
    },
)

"""Backbones: image ``(B, 3, H, W)`` to a tuple of feature maps ``(B, C_i, ceil(H/s_i), ceil(W/s_i))``."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "activator": ["Activator"],
        "convnext": ["ConvNeXt"],
        "coswin": ["CoSwin"],
        "croco": ["CrocoNetwork"],
        "crossformer": ["CrossFormer"],
        "cvt": ["CvT"],
        "duoformer": ["DuoFormer"],
        "focalnet": ["FocalNet"],
        "hornet": ["HorNet"],
        "hyena": ["HyenaSwin", "HyenaViT"],
        "ia_red2": ["IARed2"],
        "metaformer": ["MetaFormer"],
        "poolformer": ["PoolFormer"],
        "ppma": ["PPMA"],
        "rmt": ["RMT"],
        "s2aformer": ["S2AFormer"],
        "sgformer": ["SGFormer"],
        "soft": ["SOFT"],
        "spectformer": ["SpectFormer"],
        "spectformer_plain": ["PlainSpectFormer"],
        "svt": ["SVT"],
        "swin": ["Swin"],
        "timm_backbone": ["TimmBackbone"],
        "uniformer": ["UniFormer"],
        "vit": ["VisionTransformer"],
        "vit_resnas": ["ViTResNAS"],
    },
)

"""Backbones: image ``(B, 3, H, W)`` to a tuple of feature maps ``(B, C_i, ceil(H/s_i), ceil(W/s_i))``."""

from dense3d.backbones.timm_backbone import TimmBackbone

__all__ = ["TimmBackbone"]

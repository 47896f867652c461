"""Backbones: image ``(B, 3, H, W)`` to a tuple of feature maps ``(B, C_i, ceil(H/s_i), ceil(W/s_i))``."""

from dense3d.backbones.convnext import ConvNeXt
from dense3d.backbones.focalnet import FocalNet
from dense3d.backbones.swin import Swin
from dense3d.backbones.timm_backbone import TimmBackbone
from dense3d.backbones.vit import VisionTransformer

__all__ = ["ConvNeXt", "FocalNet", "Swin", "TimmBackbone", "VisionTransformer"]

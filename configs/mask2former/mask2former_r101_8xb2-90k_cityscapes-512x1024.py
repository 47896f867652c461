"""Mask2Former (semantic) with ResNet-101, 90k iterations of Cityscapes: mIoU 80.1 officially.

Weights: torchvision's, through timm.
"""

_base_ = ["./mask2former_r50_8xb2-90k_cityscapes-512x1024.py"]

model = dict(
    backbone=dict(model_name="resnet101.tv_in1k"),
)

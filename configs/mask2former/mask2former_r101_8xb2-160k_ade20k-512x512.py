"""Mask2Former (semantic) with ResNet-101, 160k iterations of ADE20K: mIoU 47.8 in the paper.

Weights: torchvision's, through timm. Batch norms learn here, as officially.
"""

_base_ = ["./mask2former_r50_8xb2-160k_ade20k-512x512.py"]

model = dict(
    backbone=dict(model_name="resnet101.tv_in1k", freeze_norm=False),
)

sync_bn = "torch"  # over the images of all processes

"""Mask2Former with ResNet-101, 50 epochs of COCO instance segmentation: AP 44.2 in the paper.

Weights: torchvision's, through timm.
"""

_base_ = ["./mask2former_r50_8xb2-50e_coco-instance.py"]

model = dict(
    backbone=dict(model_name="resnet101.tv_in1k"),
)

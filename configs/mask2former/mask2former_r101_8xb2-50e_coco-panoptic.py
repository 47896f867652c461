"""Mask2Former with ResNet-101, 50 epochs of COCO panoptic: PQ 52.6 in the paper.

Weights: torchvision's, through timm.
"""

_base_ = ["./mask2former_r50_8xb2-50e_coco-panoptic.py"]

model = dict(
    backbone=dict(model_name="resnet101.tv_in1k"),
)

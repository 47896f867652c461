"""DETR, ResNet-101, 500 epochs of COCO."""

_base_ = "./detr_r50_8xb2-500e_coco.py"

model = dict(backbone=dict(model_name="resnet101.tv_in1k"))

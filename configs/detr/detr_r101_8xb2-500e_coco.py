"""DETR, ResNet-101, 500 epochs of COCO.

The paper reports box AP 43.5.
"""

_base_ = "./detr_r50_8xb2-500e_coco.py"

model = dict(backbone=dict(model_name="resnet101.tv_in1k"))

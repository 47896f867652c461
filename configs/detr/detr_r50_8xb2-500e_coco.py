"""DETR, ResNet-50, 500 epochs of COCO on 8 GPUs with 2 images each (arXiv 2005.12872).

The paper reports box AP 42.0.
"""

_base_ = ["mmdet::detr/detr_r50_8xb2-500e_coco.py", "../_base_/backbones/resnet.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._r50, out_strides=(32,), frozen_stages=1, freeze_norm=True),
    neck=dict(in_channels="backbone"),
)
train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))

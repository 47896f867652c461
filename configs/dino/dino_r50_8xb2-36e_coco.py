"""DINO, 4 scales, ResNet-50, 36 epochs of COCO on 8 GPUs with 2 images each (arXiv 2203.03605).

The paper reports box AP 50.9.
"""

_base_ = ["mmdet::dino/dino-4scale_r50_8xb2-36e_coco.py", "../_base_/backbones/resnet.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._r50, out_strides=(8, 16, 32), frozen_stages=1, freeze_norm=True),
    neck=dict(in_channels="backbone"),
)
train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))

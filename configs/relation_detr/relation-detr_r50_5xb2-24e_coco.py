"""Relation-DETR, 4 scales, ResNet-50, 24 epochs of COCO on 5 GPUs with 2 images each (arXiv 2407.11699).

The paper reports box AP 52.1.

The epoch at which the official 24-epoch run lowers its learning rate is not published; 20 is DINO's.
"""

_base_ = "./relation-detr_r50_5xb2-12e_coco.py"

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[20], gamma=0.1),
]

"""Mask R-CNN with a plain ViT-S from DeiT, 36 epochs of COCO: box AP 44.0, mask AP 39.9 in the paper.

The baseline of Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. Weights: ``dense3d convert
deit``.
"""

_base_ = ["./mask-rcnn_vit-s_fpn_8xb2-12e_coco.py"]

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1),
]

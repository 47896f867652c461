"""Mask R-CNN with ViT-CoMer-S from DeiT, 36 epochs of COCO: box AP 48.8, mask AP 43.0 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. Its repository publishes detection settings with DINOv2
and for plain DeiT; this takes the latter's optimiser, without layer-wise decay. Weights:
``dense3d convert deit``.
"""

_base_ = ["./mask-rcnn_vit-comer-s_fpn_8xb2-12e_coco.py"]

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1),
]

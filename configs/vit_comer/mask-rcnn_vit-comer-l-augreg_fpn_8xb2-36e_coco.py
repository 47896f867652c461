"""Mask R-CNN with ViT-CoMer-L from AugReg (ImageNet-22k, 384 pixels), 36 epochs of COCO.

Box AP 52.9, mask AP 46.4 in the paper. Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. The repository
has no settings for this size; drop path and layer-wise decay are those of ViT-Adapter-L. Weights:
``dense3d convert augreg``.
"""

_base_ = ["./mask-rcnn_vit-comer-l-augreg_fpn_8xb2-12e_coco.py"]

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1),
]

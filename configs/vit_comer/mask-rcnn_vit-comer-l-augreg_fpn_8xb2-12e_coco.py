"""Mask R-CNN with ViT-CoMer-L from AugReg (ImageNet-22k, 384 pixels), 12 epochs of COCO.

Box AP 51.4, mask AP 45.2 in the paper. Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. The repository
has no settings for this size; drop path and layer-wise decay are those of ViT-Adapter-L. Weights:
``dense3d convert augreg``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_crop-1024.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/vit_comer.py",
]

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_l,
        vit=dict(**_base_._augreg_l, **_base_._windows_l, drop_path_rate=0.4),
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8),
)

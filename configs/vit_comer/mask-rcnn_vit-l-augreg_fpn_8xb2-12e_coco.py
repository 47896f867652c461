"""Mask R-CNN with a plain ViT-L from AugReg (ImageNet-22k, 384 pixels), 12 epochs of COCO.

Box AP 45.7, mask AP 41.5 in the paper. The baseline of Xia et al., CVPR 2024 (arXiv 2403.07392), table 1.
Weights: ``dense3d convert augreg``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_crop-1024.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/vit.py",
]

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        type="dense3d.RescaledPyramid",
        vit=dict(**_base_._augreg_l, **_base_._windows_l, drop_path_rate=0.4),
        blocks=(5, 11, 17, 23),
        norm="group",
        token_norm=True,
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8),
)

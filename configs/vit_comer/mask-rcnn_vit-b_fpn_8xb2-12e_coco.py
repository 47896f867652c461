"""Mask R-CNN with a plain ViT-B from DeiT, 12 epochs of COCO: box AP 42.9, mask AP 39.4 in the paper.

The baseline of Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. Weights: ``dense3d convert
deit``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_crop-1024.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/vit.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.RescaledPyramid",
        vit=dict(**_base_._deit_b, **_base_._windows, drop_path_rate=0.1),
        blocks=(2, 5, 8, 11),
        norm="group",
        token_norm=True,
    ),
)
optim_wrapper = dict(paramwise_cfg=_base_._undecayed)

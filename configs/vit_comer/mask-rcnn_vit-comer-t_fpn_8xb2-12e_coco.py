"""Mask R-CNN with ViT-CoMer-T from DeiT, 12 epochs of COCO: box AP 42.1, mask AP 38.0 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. Its repository publishes detection settings with DINOv2
and for plain DeiT; this takes the latter's optimiser, without layer-wise decay. Weights:
``dense3d convert deit``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_crop-1024.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/vit_comer.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_s,
        vit=dict(**_base_._deit_t, **_base_._windows, drop_path_rate=0.1),
    ),
)
optim_wrapper = dict(paramwise_cfg=_base_._undecayed)

"""Mask R-CNN with ViT-CoMer-L from DINOv2, 12 epochs of COCO: box AP 53.4, mask AP 46.8 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. The repository has no settings for this size; drop path
and layer-wise decay are those of ViT-Adapter-L. Weights: ``dense3d convert dinov2-14to16``.
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
        **_base_._vit_comer_l,
        vit=dict(**_base_._dinov2_l, **_base_._windows_l, drop_path_rate=0.4),
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8),
)

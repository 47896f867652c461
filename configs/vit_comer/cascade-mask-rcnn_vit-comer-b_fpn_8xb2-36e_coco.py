"""Cascade Mask R-CNN with ViT-CoMer-B from DeiT, 36 epochs of COCO.

Settings of ViT-Adapter's repository, on whose code ViT-CoMer's stands; it publishes none for this detector.
Weights: ``dense3d convert deit``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/cascade_mask_rcnn.py",
    "../_base_/datasets/coco_instance_crop-1024.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/vit_comer.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_b,
        vit=dict(**_base_._deit_b, **_base_._windows, drop_path_rate=0.3),
    ),
)
optim_wrapper = dict(paramwise_cfg=_base_._undecayed)

"""Mask R-CNN with PoolFormer-S36, 12 epochs of COCO: box AP 41.0, mask AP 37.7 in the official repository.

Yu et al., CVPR 2022 (arXiv 2111.11418). Weights: ``poolformer_s36.pth.tar`` of sail-sg/poolformer, put into
``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/poolformer.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._poolformer_s36))
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4))

"""Mask R-CNN with PoolFormer-S24, 12 epochs of COCO: box AP 40.1, mask AP 37.0 in the official repository.

Yu et al., CVPR 2022 (arXiv 2111.11418). Weights: ``poolformer_s24.pth.tar`` of sail-sg/poolformer, put into
``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/poolformer.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._poolformer_s24))
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4))

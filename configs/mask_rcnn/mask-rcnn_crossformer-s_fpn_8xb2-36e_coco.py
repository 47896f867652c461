"""Mask R-CNN with CrossFormer-S, 36 epochs of COCO: box AP 48.7, mask AP 43.9 in the official repository.

Wang et al., ICLR 2022 (arXiv 2108.00154). Weights: ``crossformer-s.pth`` of cheerss/CrossFormer, put into
``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/crossformer.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._crossformer_s, drop_path_rate=0.2))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), paramwise_cfg=_base_._crossformer_undecayed)

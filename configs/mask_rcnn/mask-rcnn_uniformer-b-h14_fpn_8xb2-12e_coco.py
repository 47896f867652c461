"""Mask R-CNN with UniFormer-B, 12 epochs of COCO: box AP 47.4, mask AP 43.1 in the official repository.

Li et al., TPAMI 2023 (arXiv 2201.09450). Windows of 14 in the third stage, every fourth block global.
Weights: ``uniformer_base_in1k.pth`` of Sense-X/UniFormer, put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/uniformer.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._uniformer_b, attention="hybrid", drop_path_rate=0.3))
optim_wrapper = dict(paramwise_cfg=_base_._uniformer_undecayed)

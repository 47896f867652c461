"""Mask R-CNN with UniFormer-S, 36 epochs of COCO: box AP 48.2, mask AP 43.4 in the official repository.

Li et al., TPAMI 2023 (arXiv 2201.09450). Windows of 14 in the third stage, every fourth block global.
Weights: ``uniformer_small_in1k.pth`` of Sense-X/UniFormer, put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/uniformer.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._uniformer_s, attention="hybrid", drop_path_rate=0.1))
optim_wrapper = dict(paramwise_cfg=_base_._uniformer_undecayed)

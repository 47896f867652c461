"""Mask R-CNN with PPMA-S, 12 epochs of COCO: box AP 49.2, mask AP 43.8 in the official repository.

Zhao et al., 2025 (arXiv 2506.15940). Weights: ``PPMA_S_202504021000/best.pth`` of zhongchenzhao/PPMA,
put into ``checkpoints/`` with its folder.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/ppma.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._ppma_s))
optim_wrapper = dict(paramwise_cfg=_base_._ppma_undecayed)

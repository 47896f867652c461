"""Mask R-CNN with PPMA-B, 12 epochs of COCO: box AP 51.1, mask AP 45.5 in the official repository.

Zhao et al., 2025 (arXiv 2506.15940). Weights: ``PPMA_B_202504101400/best.pth`` of zhongchenzhao/PPMA,
put into ``checkpoints/`` with its folder.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/ppma.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._ppma_b))
optim_wrapper = dict(paramwise_cfg=_base_._ppma_undecayed)

"""Semantic FPN with RMT-B, 80k iterations of ADE20K: mIoU 50.4 in the paper.

Fan et al., CVPR 2024 (arXiv 2309.11523). Weights: RMT-B of qhfan/RMT, put into
``checkpoints/`` as ``RMT-B.pth``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/semantic_fpn.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_80k.py",
    "../_base_/backbones/rmt.py",
]

model = dict(backbone=_base_._rmt_b)
sync_bn = "torch"  # batch norms learn, over the images of all processes
param_scheduler = [dict(type="PolyLR", power=0.9, begin=0, end=80_000, eta_min=1e-6, by_epoch=False)]

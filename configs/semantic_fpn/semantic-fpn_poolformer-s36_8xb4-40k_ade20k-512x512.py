"""Semantic FPN with PoolFormer-S36, 40k iterations of ADE20K: mIoU 42.0 in the official repository.

Yu et al., CVPR 2022 (arXiv 2111.11418). Weights: ``poolformer_s36.pth.tar`` of sail-sg/poolformer, put into
``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/semantic_fpn.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_40k.py",
    "../_base_/backbones/poolformer.py",
]

model = dict(backbone=dict(**_base_._poolformer_s36))
train_dataloader = dict(batch_size=4)

"""Semantic FPN with UniFormer-S, 80k iterations of ADE20K: mIoU 46.6 in the official repository.

Li et al., TPAMI 2023 (arXiv 2201.09450). Global attention; the drop path rate is ours. Weights:
``uniformer_small_in1k.pth`` of Sense-X/UniFormer, put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/semantic_fpn.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_80k.py",
    "../_base_/backbones/uniformer.py",
]

model = dict(backbone=dict(**_base_._uniformer_s, drop_path_rate=0.1))
optim_wrapper = dict(paramwise_cfg=_base_._uniformer_undecayed)

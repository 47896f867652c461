"""UPerNet with UniFormer-S, 160k iterations of ADE20K: mIoU 47.6, 48.5 multi-scale as published.

Li et al., TPAMI 2023 (arXiv 2201.09450). Global attention. Weights: ``uniformer_small_in1k.pth`` of
Sense-X/UniFormer, put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/uniformer.py",
]

model = dict(backbone=dict(**_base_._uniformer_s, drop_path_rate=0.25))
optim_wrapper = dict(paramwise_cfg=_base_._uniformer_undecayed)

"""UPerNet with CrossFormer-B, 160k iterations of ADE20K: mIoU 49.7, 50.6 multi-scale as published.

Wang et al., ICLR 2022 (arXiv 2108.00154). Weights: ``crossformer-b.pth`` of cheerss/CrossFormer, put into
``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/crossformer.py",
]

model = dict(backbone=dict(**_base_._crossformer_b, drop_path_rate=0.3))
optim_wrapper = dict(paramwise_cfg=_base_._crossformer_undecayed)

"""UPerNet with PPMA-T, 160k iterations of ADE20K: mIoU 48.7, 49.1 multi-scale officially.

Zhao et al., 2025 (arXiv 2506.15940). Weights: ``PPMA_T_202502251000/best.pth`` of zhongchenzhao/PPMA,
put into ``checkpoints/`` with its folder.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/ppma.py",
]

model = dict(backbone=_base_._ppma_t)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=_base_._ppma_undecayed)

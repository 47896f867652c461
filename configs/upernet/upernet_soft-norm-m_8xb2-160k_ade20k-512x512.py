"""UPerNet with SOFT-Norm-M, 160k iterations of ADE20K: mIoU 48.0 in the official repository.

Lu et al., IJCV 2024 (arXiv 2207.03341). The authors' code for this is not public; the schedule is the usual
one of 160k iterations with AdamW. Weights: SOFT-Norm-M of fudan-zvg/SOFT, put into ``checkpoints/`` as
``soft_norm_medium.pth``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/soft.py",
]

model = dict(backbone=_base_._soft_norm_m)
optim_wrapper = dict(paramwise_cfg=_base_._soft_undecayed)

"""RetinaNet with SOFT-Norm-S, 12 epochs of COCO: box AP 42.8 in the official repository.

Lu et al., IJCV 2024 (arXiv 2207.03341). The authors' code for this is not public; the schedule is the usual
one of 12 epochs with AdamW. Weights: SOFT-Norm-S of fudan-zvg/SOFT, put into ``checkpoints/`` as
``soft_norm_small.pth``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/coco_detection_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/soft.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._soft_norm_s))
optim_wrapper = dict(paramwise_cfg=_base_._soft_undecayed)

"""UPerNet with RMT-L, 160k iterations of ADE20K: mIoU 52.8 in the paper.

Fan et al., CVPR 2024 (arXiv 2309.11523). Weights: RMT-L of qhfan/RMT, put into
``checkpoints/`` as ``RMT-L.pth``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/rmt.py",
]

model = dict(
    backbone=_base_._rmt_l,
    test_cfg=dict(_delete_=True, mode="whole"),  # as published: no windows
)
optim_wrapper = dict(paramwise_cfg=_base_._rmt_undecayed)
sync_bn = "torch"  # batch norms learn, over the images of all processes

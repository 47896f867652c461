"""UPerNet with Swin-L from ImageNet-22k, 160k iterations of ADE20K: mIoU 52.05, 53.53 multi-scale.

Liu et al., ICCV 2021 (arXiv 2103.14030). Weights: ``swin_large_patch4_window7_224_22k.pth`` (release of
microsoft/Swin-Transformer), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet_640.py",
    "../_base_/datasets/ade20k_640.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/swin.py",
]

model = dict(
    backbone=dict(**_base_._swin_l_22k, drop_path_rate=0.3),
    test_cfg=dict(_delete_=True, mode="whole"),  # as published: no windows
)
optim_wrapper = dict(paramwise_cfg=_base_._swin_undecayed)

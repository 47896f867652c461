"""UPerNet with Swin-B, 160k iterations of ADE20K: mIoU 48.13, 49.72 multi-scale in the official repository.

Liu et al., ICCV 2021 (arXiv 2103.14030). Weights: ``swin_base_patch4_window7_224.pth`` (release of
microsoft/Swin-Transformer), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/swin.py",
]

model = dict(
    backbone=dict(**_base_._swin_b, drop_path_rate=0.3),
    test_cfg=dict(_delete_=True, mode="whole"),  # as published: no windows
)
optim_wrapper = dict(paramwise_cfg=_base_._swin_undecayed)

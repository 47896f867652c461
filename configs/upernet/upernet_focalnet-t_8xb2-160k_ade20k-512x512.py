"""UPerNet with FocalNet-T (large receptive field), 160k iterations of ADE20K.

MIoU 46.8, 47.8 multi-scale officially. Yang et al., NeurIPS 2022 (arXiv 2203.11926). Weights:
``focalnet_tiny_lrf.pth`` (release of microsoft/FocalNet), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(
    backbone=dict(
        type="dense3d.FocalNet",
        arch="tiny_lrf",
        drop_path_rate=0.3,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/focalnet_tiny_lrf.pth"),
    ),
    test_cfg=dict(_delete_=True, mode="whole"),  # as published: no windows
)
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.0))

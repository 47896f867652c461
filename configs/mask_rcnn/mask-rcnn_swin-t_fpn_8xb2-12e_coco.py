"""Mask R-CNN with Swin-T, 12 epochs of COCO: box AP 43.7, mask AP 39.8 in the official repository.

Liu et al., ICCV 2021 (arXiv 2103.14030). Weights: ``swin_tiny_patch4_window7_224.pth`` (release of
microsoft/Swin-Transformer), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/swin.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._swin_t, drop_path_rate=0.1))
optim_wrapper = dict(paramwise_cfg=_base_._swin_undecayed)

"""Cascade Mask R-CNN with Swin-S, 36 epochs of COCO: box AP 51.9, mask AP 45.0 officially.

Liu et al., ICCV 2021 (arXiv 2103.14030). Weights: ``swin_small_patch4_window7_224.pth`` (release of
microsoft/Swin-Transformer), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/cascade_mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/swin.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._swin_s, drop_path_rate=0.2))
optim_wrapper = dict(paramwise_cfg=_base_._swin_undecayed)

"""Mask2Former (semantic) with Swin-B (ImageNet-1k), 160k iterations of ADE20K: mIoU 52.4 in the paper.

Weights: ``swin_base_patch4_window12_384.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_swin-b-22k_8xb2-160k_ade20k-640x640.py"]

model = dict(
    backbone=dict(init_cfg=dict(checkpoint="checkpoints/swin_base_patch4_window12_384.pth")),
)

"""Mask2Former (semantic) with Swin-L (ImageNet-22k), 160k iterations of ADE20K: mIoU 56.1 in the paper.

Weights: ``swin_large_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_swin-b-22k_8xb2-160k_ade20k-640x640.py"]

model = dict(
    backbone=dict(
        arch="large", init_cfg=dict(checkpoint="checkpoints/swin_large_patch4_window12_384_22k.pth")
    ),
)

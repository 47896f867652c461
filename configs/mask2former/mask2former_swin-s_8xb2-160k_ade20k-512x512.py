"""Mask2Former (semantic) with Swin-S, 160k iterations of ADE20K: mIoU 51.3 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527), the recipe of mmseg's config. Weights:
``swin_small_patch4_window7_224.pth``, put into ``checkpoints/``.
"""

_base_ = "./mask2former_swin-t_8xb2-160k_ade20k-512x512.py"

model = dict(
    backbone=dict(arch="small", init_cfg=dict(checkpoint="checkpoints/swin_small_patch4_window7_224.pth")),
)

"""Mask2Former (semantic) with Swin-B (ImageNet-22k), 90k iterations of Cityscapes: mIoU 83.3 officially.

Weights: ``swin_base_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-90k_cityscapes-512x1024.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_b_22k_384, drop_path_rate=0.3),
)

sync_bn = None

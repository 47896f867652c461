"""Mask2Former (semantic) with Swin-S, 90k iterations of Cityscapes: mIoU 82.6 officially.

Weights: ``swin_small_patch4_window7_224.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-90k_cityscapes-512x1024.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_s, window_size=7, drop_path_rate=0.3),
)

sync_bn = None

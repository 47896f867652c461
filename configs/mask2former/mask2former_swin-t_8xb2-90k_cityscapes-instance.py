"""Mask2Former with Swin-T, 90k iterations of Cityscapes instances: AP 39.7 in the paper.

Weights: ``swin_tiny_patch4_window7_224.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-90k_cityscapes-instance.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_t, window_size=7, drop_path_rate=0.3),
)

sync_bn = None

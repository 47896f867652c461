"""Mask2Former with Swin-S, 50 epochs of COCO panoptic: PQ 54.6 in the paper.

Weights: ``swin_small_patch4_window7_224.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-50e_coco-panoptic.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_s, window_size=7, drop_path_rate=0.3),
)

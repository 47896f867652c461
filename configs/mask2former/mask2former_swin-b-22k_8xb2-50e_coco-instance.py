"""Mask2Former with Swin-B (ImageNet-22k), 50 epochs of COCO instance segmentation: AP 48.1 in the paper.

Weights: ``swin_base_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-50e_coco-instance.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_b_22k_384, drop_path_rate=0.3),
)

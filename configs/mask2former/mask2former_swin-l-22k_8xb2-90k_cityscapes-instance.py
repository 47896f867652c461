"""Mask2Former with Swin-L and 200 queries, 90k iterations of Cityscapes instances: AP 43.7 in the paper.

Weights: ``swin_large_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-90k_cityscapes-instance.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_l_22k_384, drop_path_rate=0.3),
    head=dict(num_queries=200),
)

sync_bn = None

"""Mask2Former with Swin-L and 200 queries, 160k iterations of ADE20K instances: AP 34.9 in the paper.

Weights: ``swin_large_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-160k_ade20k-instance.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_l_22k_384, drop_path_rate=0.3),
    head=dict(num_queries=200),
)

"""Mask2Former with Swin-L and 200 queries, 100 epochs of COCO instance segmentation: AP 50.1 in the paper.

Weights: ``swin_large_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-50e_coco-instance.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_l_22k_384, drop_path_rate=0.3),
    head=dict(num_queries=200),
)

# 100 epochs
max_iters = 737_500
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(
        type="MultiStepLR",
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[655_556, 710_184],
        gamma=0.1,
    )
]

"""Mask2Former with Swin-L and 200 queries, 160k iterations of ADE20K instances: AP 34.9 in the paper.

Weights: ``swin_large_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-160k_ade20k-instance.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.Swin",
        arch="large",
        window_size=12,
        drop_path_rate=0.3,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_large_patch4_window12_384_22k.pth"),
    ),
    head=dict(num_queries=200),
)

"""Mask2Former (semantic) with Swin-L (ImageNet-22k), 90k iterations of Cityscapes: mIoU 83.3 in the paper.

Weights: ``swin_large_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-90k_cityscapes-512x1024.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.Swin",
        arch="large",
        window_size=12,
        drop_path_rate=0.3,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_large_patch4_window12_384_22k.pth"),
    ),
)

sync_bn = None

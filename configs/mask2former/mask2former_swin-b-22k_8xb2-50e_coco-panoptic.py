"""Mask2Former with Swin-B (ImageNet-22k), 50 epochs of COCO panoptic: PQ 56.4 in the paper.

Weights: ``swin_base_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = ["./mask2former_r50_8xb2-50e_coco-panoptic.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.Swin",
        arch="base",
        window_size=12,
        drop_path_rate=0.3,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_base_patch4_window12_384_22k.pth"),
    ),
)

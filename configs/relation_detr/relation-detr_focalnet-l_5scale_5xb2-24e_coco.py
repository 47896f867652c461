"""Relation-DETR, 5 scales, FocalNet-L with 4 focal levels, 24 epochs of COCO (arXiv 2407.11699).

The official model of 63.5 AP trains 4 epochs on Objects365 before (start from such weights with
``load_from``), and then on images of 1200 x 2000 with more augmentation; this config keeps 800 x 1333.
The backbone starts from Microsoft's ImageNet-22k weights ``focalnet_large_lrf_384_fl4.pth`` (release of
microsoft/FocalNet), to be put into ``checkpoints/``.
"""

_base_ = "./relation-detr_r50_5xb2-24e_coco.py"

num_levels = 5
model = dict(
    num_levels=num_levels,
    denoising=dict(num_queries=1000),
    with_cp=True,
    backbone=dict(
        _delete_=True,
        type="dense3d.FocalNet",
        arch="large_fl4",
        drop_path_rate=0.5,
        with_cp=True,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/focalnet_large_lrf_384_fl4.pth"),
    ),
    neck=dict(num_outs=num_levels),
)

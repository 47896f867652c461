"""Mask R-CNN with ViT-CoMer-B from DeiT, 12 epochs of COCO: box AP 47.6, mask AP 41.8 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. Its repository publishes detection settings with DINOv2
and for plain DeiT; this takes the latter's optimiser, without layer-wise decay. Weights:
``dense3d convert deit``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_crop-1024.py",
    "../_base_/schedules/adamw_12e.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.ViTCoMer",
        vit=dict(
            arch=dict(name="deit_base_patch16", layer_scale=1.0),
            prefix_tokens=False,
            drop_path_rate=0.3,
            window_size=[14, 14, None] * 4,
            window_padding="zero",
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/deit_base_patch16.pth"),
        ),
        num_heads=12,
        value_ratio=0.5,
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={"pos_embed": dict(decay_mult=0.0), "level_embed": dict(decay_mult=0.0)},
    )
)

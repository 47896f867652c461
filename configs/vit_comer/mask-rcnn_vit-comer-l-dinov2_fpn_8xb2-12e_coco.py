"""Mask R-CNN with ViT-CoMer-L from DINOv2, 12 epochs of COCO: box AP 53.4, mask AP 46.8 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392), table 1. The repository has no settings for this size; drop path
and layer-wise decay are those of ViT-Adapter-L. Weights: ``dense3d convert dinov2-14to16``.
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
            arch=dict(name="dinov2_vitl14", patch_size=16, pretrain_size=592, position_offset=0.0),
            prefix_tokens=False,
            drop_path_rate=0.4,
            window_size=[14, 14, 14, 14, 14, None] * 4,
            window_padding="zero",
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vitl14_14to16.pth"),
        ),
        num_heads=16,
        value_ratio=0.5,
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8),
)

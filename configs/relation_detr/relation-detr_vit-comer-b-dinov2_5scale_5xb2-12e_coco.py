"""Relation-DETR, 5 scales, ViT-CoMer-B from DINOv2, 12 epochs of COCO on 5 GPUs with 2 images each.

There is no official recipe for this pairing: Relation-DETR's (arXiv 2407.11699), with the layer-wise decay
of ViT-CoMer under Mask R-CNN. Weights: ``dense3d convert dinov2-14to16``.
"""

_base_ = "./relation-detr_r50_5xb2-12e_coco.py"

num_levels = 5
model = dict(
    num_levels=num_levels,
    backbone=dict(
        _delete_=True,
        type="dense3d.ViTCoMer",
        vit=dict(
            arch=dict(name="dinov2_vitb14", patch_size=16, pretrain_size=592, position_offset=0.0),
            prefix_tokens=False,
            drop_path_rate=0.3,
            window_size=[14, 14, None] * 4,
            window_padding="zero",
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vitb14_14to16.pth"),
        ),
        num_heads=12,
        value_ratio=0.5,
    ),
    neck=dict(num_outs=num_levels),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.6),
)

"""DINO, 5 scales, ViT-CoMer-S from DINOv2, 12 epochs of COCO.

There is no official recipe for this pairing: DINO's (arXiv 2203.03605), with the layer-wise decay of
ViT-CoMer under Mask R-CNN. Weights: ``dense3d convert dinov2-14to16``.
"""

_base_ = "./dino_r50_8xb2-12e_coco.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.ViTCoMer",
        vit=dict(
            arch=dict(name="dinov2_vits14", patch_size=16, pretrain_size=592, position_offset=0.0),
            prefix_tokens=False,
            drop_path_rate=0.2,
            window_size=[14, 14, None] * 4,
            window_padding="zero",
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vits14_14to16.pth"),
        ),
        num_heads=6,
        value_ratio=1.0,
    ),
    num_feature_levels=5,
    neck=dict(num_outs=5),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=5))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=5))),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.7),
)

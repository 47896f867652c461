"""DINO, 5 scales, on a simple pyramid of MAE's ViT-L, 12 epochs of COCO.

ViTDet (arXiv 2203.16527) under the head of DINO (arXiv 2203.03605), which takes all four maps and makes a
fifth. Weights: ``dense3d convert mae``.
"""

_base_ = ["./dino_r50_8xb2-12e_coco.py", "../_base_/backbones/vitdet.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._vitdet_l),
    num_feature_levels=5,
    neck=dict(num_outs=5),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=5))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=5))),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8),
)

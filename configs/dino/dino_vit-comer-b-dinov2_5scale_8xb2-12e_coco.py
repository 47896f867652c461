"""DINO, 5 scales, ViT-CoMer-B from DINOv2, 12 epochs of COCO.

There is no official recipe for this pairing: DINO's (arXiv 2203.03605), with the layer-wise decay of
ViT-CoMer under Mask R-CNN. Weights: ``dense3d convert dinov2-14to16``.
"""

_base_ = ["./dino_r50_8xb2-12e_coco.py", "../_base_/backbones/vit_comer.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_b,
        vit=dict(**_base_._dinov2_b, **_base_._windows, drop_path_rate=0.3),
    ),
    num_feature_levels=5,
    neck=dict(num_outs=5),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=5))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=5))),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.6),
)

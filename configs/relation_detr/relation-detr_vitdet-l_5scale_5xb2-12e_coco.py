"""Relation-DETR, 5 scales, on a simple pyramid of MAE's ViT-L, 12 epochs of COCO.

There is no official recipe for this pairing: Relation-DETR's (arXiv 2407.11699), with the layer-wise decay
of ViTDet (arXiv 2203.16527). Weights: ``dense3d convert mae``.
"""

_base_ = ["./relation-detr_r50_5xb2-12e_coco.py", "../_base_/backbones/vitdet.py"]

num_levels = 5
model = dict(
    num_levels=num_levels,
    backbone=dict(_delete_=True, **_base_._vitdet_l),
    neck=dict(num_outs=num_levels),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8),
)

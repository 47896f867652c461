"""Relation-DETR, 5 scales, ViT-CoMer-S from DINOv2, 12 epochs of COCO on 5 GPUs with 2 images each.

There is no official recipe for this pairing: Relation-DETR's (arXiv 2407.11699), with the layer-wise decay
of ViT-CoMer under Mask R-CNN. Weights: ``dense3d convert dinov2-14to16``.
"""

_base_ = ["./relation-detr_r50_5xb2-12e_coco.py", "../_base_/backbones/vit_comer.py"]

num_levels = 5
model = dict(
    num_levels=num_levels,
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_s,
        vit=dict(**_base_._dinov2_s, **_base_._windows, drop_path_rate=0.2),
    ),
    neck=dict(num_outs=num_levels),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.7),
)

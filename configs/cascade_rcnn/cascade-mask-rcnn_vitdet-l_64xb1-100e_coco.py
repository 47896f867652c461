"""ViTDet: Cascade Mask R-CNN with a simple pyramid on MAE's ViT-L, 100 epochs of COCO.

Box AP 57.6 officially. Li et al., ECCV 2022 (arXiv 2203.16527). Without the official decomposed relative
positions. The box heads are those of the other cascades here: GIoU loss and boxes by class, where the
official ones have neither. Weights: ``dense3d convert mae``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/cascade_mask_rcnn.py",
    "../_base_/datasets/coco_instance_lsj-1024.py",
    "../_base_/schedules/adamw_100e_lsj.py",
    "../_base_/backbones/vitdet.py",
]

model = dict(
    backbone=dict(_delete_=True, **_base_._vitdet_l),
    neck=dict(_delete_=True, type="dense3d.PooledLevels", num_outs=5),
    rpn_head=dict(num_convs=2),
    roi_head=dict(mask_head=dict(norm_cfg=dict(type="dense3d.ChannelLayerNorm", eps=1e-6))),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8),
)
train_dataloader = dict(batch_size=1)

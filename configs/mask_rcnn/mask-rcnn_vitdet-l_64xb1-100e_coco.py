"""ViTDet: Mask R-CNN with a simple pyramid on MAE's ViT-L, 100 epochs of COCO.

Box AP 55.6, mask AP 49.2 officially. Li et al., ECCV 2022 (arXiv 2203.16527). Without the official
decomposed relative positions. The position table is trained. Weights: ``dense3d convert mae``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/vitdet.py",
    "../_base_/datasets/coco_instance_lsj-1024.py",
    "../_base_/schedules/adamw_100e_lsj.py",
    "../_base_/backbones/vitdet.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._vitdet_l))
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8),
)
train_dataloader = dict(batch_size=1)

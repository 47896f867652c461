"""Mask R-CNN with ConvNeXt V2-B, 36 epochs of COCO: box AP 52.9, mask AP 46.4 in mmdet.

Woo et al., CVPR 2023 (arXiv 2301.00808). The official detection settings are not released; these are those
of mmdet's project ``ConvNeXt-V2``: masked pre-training, large-scale jitter, 32 images an iteration. Weights:
``convnextv2_base_1k_224_fcmae.pt`` (release of facebookresearch/ConvNeXt-V2), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.ConvNeXt",
        arch="base",
        version=2,
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnextv2_base_1k_224_fcmae.pt"),
    ),
    test_cfg=dict(rcnn=dict(nms=dict(type="soft_nms"))),
)
image_size = (1024, 1024)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type="RandomCrop",
        crop_type="absolute_range",
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
max_epochs = 36
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1),
]
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.95),
)
auto_scale_lr = dict(base_batch_size=32)

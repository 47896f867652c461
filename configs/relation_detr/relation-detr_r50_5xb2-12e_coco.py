"""Relation-DETR, 4 scales, ResNet-50, 12 epochs of COCO on 5 GPUs with 2 images each (arXiv 2407.11699).

The paper reports box AP 51.7.

The learning rate belongs to 10 images an iteration; ``--cfg-options auto_scale_lr.enable=True`` adapts it
to another number. The backbone starts from torchvision's second weights (80.9 % top-1), as the official one
does.

Official weights: ``dense3d convert relation-detr-coco80 IN OUT`` keeps the class rows of COCO's
80 categories, so that OUT serves this config as it is; the system ``relation-detr`` keeps all 91 rows, one
for each category id, for ``--cfg-options model.num_classes=91`` and labels that are category ids.
"""

_base_ = ["../dino/dino_r50_8xb2-12e_coco.py"]

model = dict(
    _delete_=True,
    type="dense3d.RelationDETR",
    num_classes=80,
    num_queries=900,
    relation=dict(
        type="dense3d.PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0
    ),
    hybrid=dict(num_queries=1500, assign=6),
    denoising=dict(num_queries=100, label_noise=0.5, box_noise=1.0),
    criterion=dict(class_loss="varifocal", alpha=0.25, gamma=2.0),
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="dense3d.TimmBackbone",
        model_name="resnet50.tv2_in1k",
        pretrained=True,
        out_strides=(8, 16, 32),
        frozen_stages=1,
        freeze_norm=True,
    ),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=256,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        num_outs=4,
    ),
    test_cfg=dict(max_per_img=300),
)

# DETR's augmentation; boxes thinner than a pixel and images without boxes are left out.
short_sides = [(side, 1333) for side in range(480, 801, 32)]
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True)],
            [
                dict(
                    type="RandomChoiceResize", scales=[(400, 4200), (500, 4200), (600, 4200)], keep_ratio=True
                ),
                dict(
                    type="RandomCrop",
                    crop_type="absolute_range",
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True),
            ],
        ],
    ),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1, 1), keep_empty=True),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(
    batch_size=2, dataset=dict(filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline)
)

# The official rules: any of these words in a parameter's name, several may hold for one.
optim_wrapper = dict(
    constructor="dense3d.NamePartsOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            "backbone": dict(lr_mult=0.1),
            "sampling_offsets": dict(lr_mult=0.1),
            "norm": dict(decay_mult=0.0),
            "bias": dict(decay_mult=0.0),
        }
    ),
)
max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[10], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=10)

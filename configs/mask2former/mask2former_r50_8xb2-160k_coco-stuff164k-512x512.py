"""Mask2Former (semantic) with ResNet-50, 160k iterations of COCO-Stuff 164k, 171 classes.

There is no official recipe for semantic segmentation of COCO: that of ADE20K.
"""

_base_ = [
    "../_base_/models/mask2former_semantic.py",
    "mmseg::_base_/datasets/coco-stuff164k.py",
    "../_base_/schedules/mask2former_160k.py",
    "../_base_/backbones/resnet.py",
]

model = dict(
    backbone=dict(**_base_._r50, out_strides=(4, 8, 16, 32), freeze_norm=True),
    decode_head=dict(num_classes=171),
)

crop_size = (512, 512)  # height, width
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[int(x * 0.1 * 512) for x in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=2048,
    ),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

default_hooks = dict(checkpoint=dict(save_best="mIoU"))
visualizer = dict(type="mmseg.SegLocalVisualizer")

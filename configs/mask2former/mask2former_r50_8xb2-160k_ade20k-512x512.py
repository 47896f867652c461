"""Mask2Former (semantic) with ResNet-50, 160k iterations of ADE20K: mIoU 47.2 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former-semantic IN OUT``.
"""

_base_ = [
    "../_base_/models/mask2former_semantic.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/mask2former_160k.py",
    "../_base_/backbones/resnet.py",
]

model = dict(
    backbone=dict(**_base_._r50, out_strides=(4, 8, 16, 32), freeze_norm=True),
)

crop_size = (512, 512)  # height, width
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
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

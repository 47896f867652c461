"""Mask2Former (semantic) with ResNet-50, 90k iterations of Cityscapes: mIoU 79.4 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former-semantic IN OUT``.
"""

_base_ = [
    "../_base_/models/mask2former_semantic.py",
    "mmseg::_base_/datasets/cityscapes.py",
    "../_base_/schedules/mask2former_90k.py",
    "../_base_/backbones/resnet.py",
]

crop_size = (512, 1024)  # height, width
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[int(x * 0.1 * 1024) for x in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=4096,
    ),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(**_base_._r50, out_strides=(4, 8, 16, 32)),
    decode_head=dict(num_classes=19),
)

sync_bn = "torch"  # batch norms learn, over the images of all processes

default_hooks = dict(checkpoint=dict(save_best="mIoU"))
visualizer = dict(type="mmseg.SegLocalVisualizer")

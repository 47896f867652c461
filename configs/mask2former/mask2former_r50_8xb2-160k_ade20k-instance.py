"""Mask2Former with ResNet-50, 160k iterations of ADE20K instances: AP 26.4 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former IN OUT``.
"""

_base_ = [
    "../_base_/datasets/ade20k_instance_crop-640x640.py",
    "../_base_/schedules/mask2former_160k.py",
    "../_base_/backbones/resnet.py",
]

model = dict(
    type="dense3d.Mask2Former",
    num_classes=100,
    thing_classes=list(range(100)),
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        batch_augments=[dict(type="mmdet.BatchFixedSizePad", size=(640, 640), pad_mask=True)],
    ),
    backbone=dict(**_base_._r50, out_strides=(4, 8, 16, 32), freeze_norm=True),
    test_cfg=dict(panoptic_on=False, instance_on=True, max_per_image=100),
)

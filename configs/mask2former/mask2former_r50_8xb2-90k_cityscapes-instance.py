"""Mask2Former with ResNet-50, 90k iterations of Cityscapes instances: AP 37.4 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former IN OUT``.
"""

_base_ = [
    "../_base_/datasets/cityscapes_instance_crop-512x1024.py",
    "../_base_/schedules/mask2former_90k.py",
    "../_base_/backbones/resnet.py",
]

model = dict(
    type="dense3d.Mask2Former",
    num_classes=8,
    thing_classes=list(range(8)),
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        batch_augments=[dict(type="mmdet.BatchFixedSizePad", size=(512, 1024), pad_mask=True)],
    ),
    backbone=dict(**_base_._r50, out_strides=(4, 8, 16, 32)),
    test_cfg=dict(panoptic_on=False, instance_on=True, max_per_image=100),
)

sync_bn = "torch"  # batch norms learn, over the images of all processes

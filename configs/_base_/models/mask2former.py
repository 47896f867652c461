"""Mask2Former with ResNet-50; the data set's classes and the padded size are the config's.

Cheng et al., CVPR 2022 (arXiv 2112.01527).
"""

_base_ = "../backbones/resnet.py"

model = dict(
    type="dense3d.Mask2Former",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(**_base_._r50, out_strides=(4, 8, 16, 32)),
)

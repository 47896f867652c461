"""kMaX-DeepLab with ResNet-50; the data set's classes and the input size are the config's.

Yu et al., ECCV 2022 (arXiv 2207.04044).
"""

_base_ = "../backbones/resnet.py"

model = dict(
    type="dense3d.KMaXDeepLab",
    num_queries=128,
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(**_base_._r50, out_strides=(4, 8, 16, 32)),
)

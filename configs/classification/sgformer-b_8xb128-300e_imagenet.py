"""SG-Former-B on ImageNet-1k: top-1 84.7 in the paper.

Ren et al., ICCV 2023. ``dense3d test`` takes a checkpoint of OliverRensu/SG-Former as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="SGFormer", arch="base", drop_path_rate=0.4))
custom_hooks = [dict(type="EMAHook", momentum=8e-5)]  # a decay of 0.99992

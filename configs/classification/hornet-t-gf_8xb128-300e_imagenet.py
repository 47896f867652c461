"""HorNet-T (GF) on ImageNet-1k: top-1 83.0 in the official repository.

Rao et al., NeurIPS 2022 (arXiv 2207.14284): batches of 4096 images at a rate of 4e-3 there, here 1024
images at a quarter of it, and averaged weights. ``dense3d test`` takes ``hornet_tiny_gf.pth`` of
raoyongming/HorNet as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="HorNet", arch="tiny_gf", drop_path_rate=0.2))
custom_hooks = [dict(type="EMAHook", momentum=1e-4)]

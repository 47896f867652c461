"""Swin-T on ImageNet-1k: top-1 81.2 in the official repository.

Liu et al., ICCV 2021 (arXiv 2103.14030). ``dense3d test`` takes ``swin_tiny_patch4_window7_224.pth`` of
microsoft/Swin-Transformer as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="Swin", arch="tiny", drop_path_rate=0.2))

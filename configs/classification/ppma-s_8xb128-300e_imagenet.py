"""PPMA-S on ImageNet-1k: top-1 84.2 in the official repository.

Zhao et al., 2025 (arXiv 2506.15940). ``dense3d test`` takes ``PPMA_S_202504021000/best.pth``
of zhongchenzhao/PPMA as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="PPMA", arch="small", drop_path_rate=0.15))

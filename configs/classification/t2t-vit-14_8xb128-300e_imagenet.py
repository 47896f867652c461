"""T2T-ViT-14 on ImageNet-1k: top-1 81.5 in the official repository.

Yuan et al., ICCV 2021 (arXiv 2101.11986). ``dense3d test`` takes ``81.5_T2T_ViT_14.pth.tar`` of
yitu-opensource/T2T-ViT as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="T2TViT", arch="14", drop_path_rate=0.1))

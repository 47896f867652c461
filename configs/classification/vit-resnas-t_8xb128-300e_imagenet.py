"""ViT-ResNAS-Tiny, the network that the search has found, on ImageNet-1k.

Liao et al., 2021 (arXiv 2109.00642), there with a further loss on patches of mixed images. ``dense3d test``
takes the file of yilunliao/vit-search as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="ViTResNAS", arch="tiny", drop_path_rate=0.2))

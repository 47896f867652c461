"""UniFormer-S on ImageNet-1k: top-1 82.9 in the official repository.

Li et al., ICLR 2022 (arXiv 2201.09450). ``dense3d test`` takes ``uniformer_small_in1k.pth`` of
Sense-X/UniFormer as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="UniFormer", arch="small", drop_path_rate=0.1))

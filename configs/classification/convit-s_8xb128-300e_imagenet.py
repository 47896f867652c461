"""ConViT-S on ImageNet-1k: top-1 81.4 with the released weights.

d'Ascoli et al., ICML 2021 (arXiv 2103.10697). ``dense3d test`` takes ``convit_small.pth`` of
facebookresearch/convit as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="ConViT", arch="small", drop_path_rate=0.1))

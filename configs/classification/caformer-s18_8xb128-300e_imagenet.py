"""CAFormer-S18 on ImageNet-1k: top-1 83.6 in the official repository.

Yu et al., TPAMI 2024 (arXiv 2210.13452). ``dense3d test`` takes ``caformer_s18.pth`` of sail-sg/metaformer
as it is; the training is that of the other configs here, not the authors'.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="MetaFormer", arch="caformer_s18", drop_path_rate=0.15))

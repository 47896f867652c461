"""PoolFormer-S12 on ImageNet-1k: top-1 77.2 in the official repository.

Yu et al., CVPR 2022 (arXiv 2111.11418). ``dense3d test`` takes ``poolformer_s12.pth.tar`` of
sail-sg/poolformer as it is; the authors test with a crop of 0.9.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="PoolFormer", arch="s12", drop_path_rate=0.1))

"""CrossFormer++-S on ImageNet-1k: top-1 83.2 in the official repository.

Wang et al., TPAMI 2024 (arXiv 2303.06908). ``dense3d test`` takes the weights of cheerss/CrossFormer as
they are.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="CrossFormer", arch="pp_small", drop_path_rate=0.2))

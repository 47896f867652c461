"""ViR-S on ImageNet-1k, with the softmax of the review release.

Hatamizadeh et al., 2023 (arXiv 2310.19731). No weights are released. ``form="chunkwise"`` trains the network
without the softmax, which is linear in the number of patches.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

_inception = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
model = dict(
    data_preprocessor=_inception, backbone=dict(type="ViR", arch="small_patch16", drop_path_rate=0.2)
)

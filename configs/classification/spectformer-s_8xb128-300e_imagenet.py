"""SpectFormer-H-S on ImageNet-1k: top-1 84.25 in the official repository, with token labels and 310 epochs.

Patro et al., 2023 (arXiv 2304.06446); badripatro/SpectFormers, which has published no weights. Here the
classifier learns from the images' labels alone, and the score of the best pixels is part of its own.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="SpectFormer", arch="small", drop_path_rate=0.1))

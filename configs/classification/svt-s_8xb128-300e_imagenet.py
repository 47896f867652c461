"""SVT-H-S on ImageNet-1k: top-1 84.2 in the official repository, with token labels and 310 epochs.

Patro and Agneeswaran, NeurIPS 2023 (arXiv 2311.01310); badripatro/svt, which has published no weights. Here
the classifier learns from the images' labels alone, and the score of the best pixels is part of its own.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="SVT", arch="small", drop_path_rate=0.1))

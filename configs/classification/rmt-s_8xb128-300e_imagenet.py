"""RMT-S on ImageNet-1k: top-1 84.1 in the official repository.

Fan et al., CVPR 2024 (arXiv 2309.11523). ``dense3d test`` takes RMT-S of qhfan/RMT as it is; the file
RMT-S* of token labels needs ``model.backbone.token_labels=True``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="RMT", arch="small", drop_path_rate=0.15))

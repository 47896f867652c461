"""ResFormer-S on ImageNet-1k, at one resolution.

Tian et al., CVPR 2023 (arXiv 2212.00776), who train at 128, 160 and 224 pixels at once for top-1 82.2 at 224.
``dense3d test`` takes the file of ruitian12/resformer as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="ResFormer", arch="small", drop_path_rate=0.1))

"""SOFT-Norm-T on ImageNet-1k: top-1 79.4 in the official repository.

Lu et al., IJCV 2024 (arXiv 2207.03341). ``dense3d test`` takes the file of fudan-zvg/SOFT as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="SOFT", arch="tiny"))
optim_wrapper = dict(clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=10, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=10,
        end=300,
        T_max=290,
        eta_min=5e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

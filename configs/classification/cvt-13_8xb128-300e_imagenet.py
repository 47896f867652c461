"""CvT-13 on ImageNet-1k: top-1 81.6 in the official repository.

Wu et al., ICCV 2021 (arXiv 2103.15808), there with batches of 2048 images at twice the rate. ``dense3d test``
takes ``CvT-13-224x224-IN-1k.pth`` of microsoft/CvT as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="CvT", arch="13", drop_path_rate=0.1))
optim_wrapper = dict(clip_grad=None)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=5, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=5,
        end=300,
        T_max=295,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

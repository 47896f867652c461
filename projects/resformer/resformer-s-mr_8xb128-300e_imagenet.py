"""ResFormer-S on ImageNet-1k at 224, 160 and 128 pixels at once, each view with augmentations of its own.

Tian et al., CVPR 2023 (arXiv 2212.00776): top-1 82.16 at 224, 80.39 at 160, 78.24 at 128.
"""

_base_ = "dense3d::classification/resformer-s_8xb128-300e_imagenet.py"

resolutions = (224, 160, 128)
augmentations = [
    dict(type="RandomFlip", prob=0.5),
    dict(type="TimmAutoAugment", policy="rand-m9-mstd0.5-inc1"),
]
model = dict(
    type="dense3d.MultiResolutionClassifier",
    resolutions=resolutions,
    data_preprocessor=dict(type="dense3d.ViewsPreprocessor"),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="dense3d.ResolutionViews", resolutions=resolutions, transforms=augmentations),
        ]
    )
)

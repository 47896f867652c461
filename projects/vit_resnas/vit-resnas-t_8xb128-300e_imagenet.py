"""ViT-ResNAS-Tiny, the network that the authors have found, on ImageNet-1k with the loss of patches.

300 epochs from random weights, averaged weights, as the official code trains. ``model.backbone.arch="small"``
with ``model.backbone.drop_path_rate=0.3`` is ViT-ResNAS-Small; a network of one's own search is
``model.backbone.type=SearchedViTResNAS``, see the config on synthetic images.
"""

_base_ = [
    "dense3d::_base_/runtime.py",
    "dense3d::_base_/models/image_classifier.py",
    "dense3d::_base_/datasets/imagenet_224.py",
    "dense3d::_base_/schedules/imagenet_300e.py",
]

model = dict(
    type="PatchMixClassifier",
    data_preprocessor=dict(type="PatchMixPreprocessor", batch_augment=dict(_delete_=True, stride=56)),
    backbone=dict(type="ViTResNAS", arch="tiny", pyramid=False, drop_path_rate=0.2),
)
custom_hooks = [dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=4e-5)]

max_epochs, warm_up = 300, 5
optim_wrapper = dict(clip_grad=None)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=warm_up, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

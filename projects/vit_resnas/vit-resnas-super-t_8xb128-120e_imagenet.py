"""The supernet of ViT-ResNAS-Tiny's search space on ImageNet-1k, 120 epochs, without 25 images of each class.

Validation is of the largest network on the images that are held out, on which ``search.py`` scores networks.
Liao et al., 2021 (arXiv:2109.00642). Two networks share the 128 images of a GPU.
"""

_base_ = [
    "dense3d::_base_/runtime.py",
    "dense3d::_base_/models/image_classifier.py",
    "dense3d::_base_/datasets/imagenet_224.py",
    "dense3d::_base_/schedules/imagenet_300e.py",
]

model = dict(
    type="SupernetClassifier",
    data_preprocessor=dict(type="PatchMixPreprocessor", batch_augment=dict(_delete_=True, stride=56)),
    backbone=dict(
        type="SuperViTResNAS", space="tiny", images_per_network=64, warm_up_epochs=30, drop_path_rate=0.2
    ),
)
custom_hooks = [dict(type="SupernetHook")]

train_dataloader = dict(dataset=dict(type="HeldOutFolder", part="train"))
val_dataloader = dict(
    dataset=dict(type="HeldOutFolder", part="held_out", data_root="{{$DENSE3D_IMAGES:data/imagenet}}/train")
)

max_epochs, warm_up = 120, 5
train_cfg = dict(max_epochs=max_epochs)
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

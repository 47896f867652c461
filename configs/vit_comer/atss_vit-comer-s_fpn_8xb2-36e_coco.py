"""ATSS with ViT-CoMer-S from DeiT, 36 epochs of COCO.

Settings of ViT-Adapter's repository, on whose code ViT-CoMer's stands; it publishes none for this detector.
Weights: ``dense3d convert deit``.
"""

_base_ = [
    "mmdet::atss/atss_r50_fpn_1x_coco.py",
    "../_base_/backbones/vit.py",
    "../_base_/datasets/detr_augmentation.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.ViTCoMer",
        vit=dict(**_base_._deit_s, **_base_._windows, drop_path_rate=0.1),
    ),
    neck=dict(in_channels="backbone"),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomFlip", prob=0.5),
    _base_._resize_or_crop,
    dict(type="RandomCrop", crop_type="absolute_range", crop_size=(1024, 1024), allow_negative_crop=True),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))

optim_wrapper = dict(
    type="AmpOptimWrapper",
    loss_scale=dict(init_scale=512),
    optimizer=dict(_delete_=True, type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=_base_._undecayed,
)
max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1),
]

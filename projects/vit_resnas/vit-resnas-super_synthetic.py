"""A supernet of small networks of two stages on synthetic images of ten solids, minutes on CPU cores.

40 images of each class are held out, on which ``search.py`` scores networks. Four networks share a batch. The
images are not mixed, so patches learn the class of their image.
"""

_base_ = [
    "dense3d::_base_/runtime.py",
    "dense3d::_base_/models/image_classifier.py",
    "dense3d::_base_/datasets/synthetic_classes.py",
    "dense3d::_base_/schedules/classifier_tiny.py",
]

space = dict(
    embed_channels=8,
    stages=[
        dict(
            dims=(48, 40, 32, 24),
            heads=(6, 4, 3, 2),
            hidden=(144, 96, 72, 48),
            head_dim=8,
            removable=(False, True),
        ),
        dict(
            dims=(96, 80, 64, 48),
            heads=(8, 6, 4, 3),
            hidden=(288, 192, 144, 96),
            head_dim=8,
            removable=(False, True, True),
        ),
    ],
)
model = dict(
    type="SupernetClassifier",
    data_preprocessor=dict(random_erasing=None, batch_augment=None),
    num_classes=10,
    label_smoothing=0.05,
    backbone=dict(
        type="SuperViTResNAS",
        space=space,
        images_per_network=8,
        warm_up_epochs=4,
        pretrain_size=56,
        drop_path_rate=0.0,
    ),
)
custom_hooks = [dict(type="SupernetHook")]

resize = dict(type="ResizedCentre", size=(56, 56), margin=1.0)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    resize,
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackImage"),
]
test_pipeline = [dict(type="LoadImageFromFile"), resize, dict(type="PackImage")]
held_out = dict(type="HeldOutFolder", held_out=40, data_root="data/synthetic/classes_64/train")
train_dataloader = dict(
    batch_size=32,
    sampler=dict(type="DefaultSampler"),
    dataset=dict(**held_out, part="train", pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=100, dataset=dict(**held_out, part="held_out", pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

max_epochs = 16
train_cfg = dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", T_max=max_epochs, eta_min=1e-5, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(_delete_=True, type="CheckpointHook", interval=4, max_keep_ckpts=2))
log_processor = dict(by_epoch=True)

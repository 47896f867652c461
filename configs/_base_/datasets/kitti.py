"""Monocular 3D detection on KITTI: the usual split into 3712 training and 3769 validation frames."""

data_root = "data/kitti/"
classes = ("Pedestrian", "Car", "Cyclist")
image_size = (1280, 384)

train_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=image_size, flip_prob=0.5, crop_prob=0.5),
    dict(type="EncodeMonoTargets", classes=classes),
    dict(type="PackKittiFrame"),
]
test_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=image_size),
    dict(type="PackKittiFrame"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="KittiDataset",
        data_root=data_root,
        ann_file="ImageSets/train.txt",
        classes=classes,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="KittiDataset",
        data_root=data_root,
        ann_file="ImageSets/val.txt",
        classes=classes,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="KittiMetric",
    label_folder=data_root + "training/label_2",
    image_set=data_root + "ImageSets/val.txt",
)
test_evaluator = val_evaluator

"""Monocular 3D detection on synthetic streets, which are rendered on first use (minutes on two cores)."""

data_root = "data/synthetic/kitti_480x144/"
classes = ("Pedestrian", "Car", "Cyclist")
image_size = (480, 144)  # 25 pixels, the least height that counts, are a car at 17 m

# Read before training: arguments of dense3d.datasets.synthetic.ensure_dataset.
synthetic_data = dict(root=data_root, layouts=("kitti",), train=1200, val=200, size=image_size, seed=0)

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
    num_workers=0,
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
    num_workers=0,
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

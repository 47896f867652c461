"""Synthetic rooms as a scanner sees them, made on first use: 60 to train with, 12 to validate.

Points have a colour of their thing, whatever its class, and a normal. ``views`` are for pre-training without
labels, two of each room.
"""

data_root = "data/synthetic/rooms_scanned/"
synthetic_data = dict(root=data_root, layouts=("rooms",), train=60, val=12, points=20000, seed=0, scan=True)
features = ("colors", "normals")
view = [
    dict(type="CropPoints", share=(0.7, 1.0)),
    dict(type="RandomRotatePoints", axis="z"),
    dict(type="RandomFlipPoints", axes="x"),
    dict(type="RandomScalePoints", low=0.9, high=1.1, per_axis=False),
    dict(type="JitterColors"),
    dict(type="JitterPoints", deviation=0.003, limit=0.01),
]
views_pipeline = [
    dict(type="LoadPoints"),
    dict(type="CropPoints", count=4000),
    dict(type="PackSceneViews", features=features, transforms=view),
]
train_pipeline = [
    dict(type="LoadPoints"),
    dict(type="CropPoints", count=4000),
    *view[1:],
    dict(type="PackPointInputs", features=features),
]
test_pipeline = [dict(type="LoadPoints"), dict(type="PackPointInputs", features=features, fill=0.0)]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SyntheticRooms", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticRooms", data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader

"""SUN RGB-D with oriented boxes of 10 classes (v1), as ``dense3d prepare sunrgbd`` writes it.

20,000 points at random, mirrored along x, turned by 30 degrees and scaled; the height is the feature of a
point.
"""

data_root = "data/sunrgbd_prepared/"
train_pipeline = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=20_000),
    dict(type="RandomFlipPoints", axes="x"),
    dict(type="RandomRotatePoints", axis="z", angle=0.5236),
    dict(type="RandomScalePoints", low=0.85, high=1.15, per_axis=False),
    dict(type="PackPointInputs", features=("height",)),
]
test_pipeline = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=20_000),
    dict(type="PackPointInputs", features=("height",)),
]
_rooms = dict(type="PreparedRooms", data_root=data_root, dataset="sunrgbd", labels="v1")
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**_rooms, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**_rooms, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Boxes3DMetric")
test_evaluator = val_evaluator

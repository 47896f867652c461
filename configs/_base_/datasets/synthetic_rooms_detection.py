"""Synthetic rooms with oriented boxes of 12 classes, made on first use: 160 to train with, 32 to validate.

Points are 4096 of 20,000, drawn at random, in tests too, as detectors of rooms do.
"""

data_root = "data/synthetic/rooms_20000/"
synthetic_data = dict(root=data_root, layouts=("rooms",), train=160, val=32, points=20_000, seed=0)
num_points = 4096
_take = [dict(type="LoadPoints"), dict(type="SamplePoints", count=num_points)]
train_pipeline = [
    *_take,
    dict(type="RandomFlipPoints", axes="x"),
    dict(type="RandomRotatePoints", axis="z", angle=0.5236),
    dict(type="RandomScalePoints", low=0.85, high=1.15, per_axis=False),
    dict(type="PackPointInputs", features=("height",)),
]
test_pipeline = [*_take, dict(type="PackPointInputs", features=("height",))]
_rooms = dict(type="SyntheticRooms", data_root=data_root, task="detection")
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(**_rooms, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**_rooms, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Boxes3DMetric")
test_evaluator = val_evaluator

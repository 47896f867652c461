"""Synthetic rooms with four photographs each, made on first use: 160 to train with, 32 to validate.

The clouds are those of the whole rooms, as detectors get them; photographs are 96 x 128 pixels, one at random
each time.
"""

data_root = "data/synthetic/room_views_20000/"
synthetic_data = dict(
    root=data_root, layouts=("rooms",), train=160, val=32, points=20_000, seed=0, views=4, size=(128, 96)
)
_take = [dict(type="SamplePoints", count=4096), dict(type="PackSceneInputs")]
train_pipeline = [
    dict(type="LoadPoints"),
    dict(type="LoadSceneViews", size=(96, 128), cloud="scan", count=1, shuffle=True),
    *_take,
]
test_pipeline = [
    dict(type="LoadPoints"),
    dict(type="LoadSceneViews", size=(96, 128), cloud="scan", count=1),
    *_take,
]
_rooms = dict(type="SyntheticRooms", data_root=data_root, task="detection", num_views=4)
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
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**_rooms, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator

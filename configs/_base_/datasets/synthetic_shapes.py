"""Synthetic objects with parts, made on first use: 100 of each of 21 families to train with, 20 to validate.

Of each object 512 points are taken, in the unit sphere, and it is turned about its vertical axis at random,
in training and in tests. ``pretraining`` names families for pre-training without labels, ``held_out`` the
others.
"""

data_root = "data/synthetic/shapes_1024/"
synthetic_data = dict(root=data_root, layouts=("shapes",), train=2100, val=420, points=1024, seed=0)
pretraining = (
    "table", "sofa", "bed", "shelf", "monitor", "bathtub", "mug", "vase", "airplane", "bicycle", "hammer",
    "tree",
)  # fmt: skip
held_out = ("chair", "lamp", "bottle", "bowl", "car", "rocket", "guitar", "umbrella", "mushroom")

_take = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=512),
    dict(type="NormalizePoints"),
    dict(type="RandomRotatePoints", axis="z"),
]
train_pipeline = [
    *_take,
    dict(type="RandomScalePoints", low=2 / 3, high=3 / 2),
    dict(type="RandomTranslatePoints", distance=0.2),
    dict(type="PackPointInputs"),
]
test_pipeline = [*_take, dict(type="PackPointInputs")]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SyntheticShapes", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticShapes", data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader

"""ScanNet V2 with boxes along the axes of 18 classes, as ``dense3d prepare scannet`` writes it.

40,000 points at random, mirrored along x and y and turned by 5 degrees, after which boxes are enlarged to
stay along the axes; the height is the feature of a point.
"""

data_root = "data/scannet_prepared/"
train_pipeline = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=40_000),
    dict(type="RandomFlipPoints", axes="xy"),
    dict(type="RandomRotatePoints", axis="z", angle=0.0873),
    dict(type="AlignBoxes"),
    dict(type="PackPointInputs", features=("height",)),
]
test_pipeline = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=40_000),
    dict(type="PackPointInputs", features=("height",)),
]
_rooms = dict(type="PreparedRooms", data_root=data_root, dataset="scannet", axis_aligned=True)
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

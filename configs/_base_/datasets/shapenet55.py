"""ShapeNet-55: 1024 random points of each shape, in the unit sphere, stretched and moved."""

data_root = "data/ShapeNet55-34/"
_take = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=1024),
    dict(type="NormalizePoints"),
]
train_pipeline = [
    *_take,
    dict(type="RandomScalePoints", low=2 / 3, high=3 / 2),
    dict(type="RandomTranslatePoints", distance=0.2),
    dict(type="PackPointInputs"),
]
test_pipeline = [*_take, dict(type="PackPointInputs")]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ShapeNet55", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ShapeNet55", data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator

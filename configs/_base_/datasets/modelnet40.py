"""ModelNet40: all points of each shape, in the unit sphere; the model's ``sampling`` takes some of them."""

data_root = "data/ModelNet/modelnet40_normal_resampled/"
_load, _unit = dict(type="LoadPoints"), dict(type="NormalizePoints")
train_pipeline = [_load, dict(type="ShufflePoints"), _unit, dict(type="PackPointInputs")]
test_pipeline = [_load, _unit, dict(type="PackPointInputs")]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ModelNet40", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ModelNet40", data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="PointClassification")
test_evaluator = val_evaluator

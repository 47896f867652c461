"""ScanObjectNN with background points (OBJ_BG): 2048 points as they are in the files, not normalised."""

data_root = "data/ScanObjectNN/"
train_pipeline = [dict(type="LoadPoints"), dict(type="ShufflePoints"), dict(type="PackPointInputs")]
test_pipeline = [dict(type="LoadPoints"), dict(type="PackPointInputs")]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="ScanObjectNN", data_root=data_root, variant="OBJ_BG", split="train", pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ScanObjectNN",
        data_root=data_root,
        variant="OBJ_BG",
        split="test",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="PointClassification")
test_evaluator = val_evaluator

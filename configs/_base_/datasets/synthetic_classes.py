"""Synthetic images of one solid each, of ten classes, made on first use (a minute or two)."""

data_root = "data/synthetic/classes_64/"
synthetic_data = dict(root=data_root, layouts=("classes",), train=2000, val=400, size=(64, 64), seed=0)
classes = ("beam", "cone", "cross", "cube", "cylinder", "disc", "egg", "slab", "sphere", "torus")
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackImage"),
]
test_pipeline = [dict(type="LoadImageFromFile"), dict(type="PackImage")]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="ClassFolder", data_root=data_root + "train", classes=classes, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ClassFolder",
        data_root=data_root + "val",
        classes=classes,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ClassAccuracy")
test_evaluator = val_evaluator

"""ShapeNetPart: 2048 random points of each object, in the unit sphere, in tests too, as officially.

Officially points are drawn with replacement; here without, where there are as many.
"""

data_root = "data/shapenetcore_partanno_segmentation_benchmark_v0_normal/"
_take = [dict(type="LoadPoints"), dict(type="NormalizePoints"), dict(type="SamplePoints", count=2048)]
train_pipeline = [
    *_take,
    dict(type="RandomScalePoints", low=0.8, high=1.25, per_axis=False),
    dict(type="RandomTranslatePoints", distance=0.1),
    dict(type="PackPointInputs"),
]
test_pipeline = [*_take, dict(type="PackPointInputs")]
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="ShapeNetPart",
        data_root=data_root,
        split="trainval",
        with_normals=False,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ShapeNetPart",
        data_root=data_root,
        split="test",
        with_normals=False,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="PartIoU")
test_evaluator = val_evaluator

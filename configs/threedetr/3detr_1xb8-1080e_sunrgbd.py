"""3DETR on SUN RGB-D: 10 classes, oriented boxes. Authors: AP25 58.0, AP50 30.3."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sunrgbd_detection.py",
    "../_base_/models/threedetr.py",
    "../_base_/schedules/threedetr_1080e.py",
]

_take = [dict(type="LoadPoints"), dict(type="SamplePoints", count=20_000)]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadPoints"),
            dict(type="RandomFlipPoints", axes="x"),
            dict(type="RandomRotatePoints", axis="z", angle=0.5236),
            dict(type="RandomScalePoints", low=0.85, high=1.15, per_axis=False),
            dict(type="RandomCuboid", min_points=30_000, min_crop=0.75, max_crop=1.0, aspect=0.75),
            dict(type="SamplePoints", count=20_000),
            dict(type="PackPointInputs"),
        ]
    )
)
val_dataloader = dict(dataset=dict(pipeline=[*_take, dict(type="PackPointInputs")]))
test_dataloader = val_dataloader
model = dict(
    num_classes=10,
    num_heading_bins=12,
    num_queries=128,
    criterion=dict(
        cost_class=1.0,
        cost_objectness=5.0,
        cost_centre=5.0,
        cost_giou=3.0,
        no_object=0.1,
        giou=0.0,
        classes=1.0,
    ),
)
optim_wrapper = dict(optimizer=dict(lr=7e-4))

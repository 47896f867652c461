"""3DETR-m on ScanNet V2: 18 classes, boxes along the axes. Authors: AP25 65.0, AP50 47.0."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/scannet_detection.py",
    "../_base_/models/threedetr_masked.py",
    "../_base_/schedules/threedetr_1080e.py",
]

_take = [dict(type="LoadPoints"), dict(type="SamplePoints", count=40_000)]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadPoints"),
            dict(type="RandomCuboid", min_points=30_000, min_crop=0.5, max_crop=1.0, aspect=0.8),
            dict(type="SamplePoints", count=40_000),
            dict(type="RandomFlipPoints", axes="xy"),
            dict(type="RandomRotatePoints", axis="z", angle=0.0873),
            dict(type="AlignBoxes"),
            dict(type="PackPointInputs"),
        ]
    )
)
val_dataloader = dict(dataset=dict(pipeline=[*_take, dict(type="PackPointInputs")]))
test_dataloader = val_dataloader
model = dict(num_classes=18, num_heading_bins=1, num_queries=256, encoder=dict(dropout=0.3))

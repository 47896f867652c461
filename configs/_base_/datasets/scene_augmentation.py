"""Augmentation of indoor scenes as usual for ScanNet: turns, mirrors, sizes, elastic distortion, colours."""

features = ("colors", "normals")
augmentation = [
    dict(type="DropPoints", greatest_share=0.2, keep_count=False),
    dict(type="RandomRotatePoints", axis="z"),
    dict(type="RandomScalePoints", low=0.9, high=1.1, per_axis=False),
    dict(type="RandomFlipPoints", axes="xy"),
    dict(type="ElasticDistortion"),
    dict(type="JitterColors"),
    dict(type="JitterPoints", deviation=0.005, limit=0.02),
]
views_pipeline = [
    dict(type="LoadPoints"),
    dict(type="CropPoints", count=102400),
    dict(
        type="PackSceneViews",
        features=features,
        fill=0.0,
        transforms=[dict(type="CropPoints", share=(0.6, 1.0)), *augmentation],
    ),
]
train_pipeline = [
    dict(type="LoadPoints"),
    dict(type="CropPoints", count=102400),
    *augmentation,
    dict(type="PackPointInputs", features=features, fill=0.0),
]
test_pipeline = [dict(type="LoadPoints"), dict(type="PackPointInputs", features=features, fill=0.0)]

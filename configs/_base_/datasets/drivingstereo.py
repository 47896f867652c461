"""DrivingStereo at half resolution: pairs for training, depth maps for tests."""

data_root = "data/drivingstereo/"
image_size = (288, 640)

train_pipeline = [
    dict(type="LoadStereo", with_truth=False),
    dict(type="ResizeStereo", size=image_size, interpolation="lanczos"),
    dict(type="StereoFlip", prob=0.5),
    dict(
        type="StereoColorJitter", brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1, prob=0.99, levels=4
    ),
    dict(type="PackStereoInputs"),
]
test_pipeline = [
    dict(type="LoadStereo"),
    dict(type="ResizeStereo", size=image_size, interpolation="lanczos", keep_truth=True),
    dict(type="PackStereoInputs"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="DrivingStereo", data_root=data_root + "train/", truth=None, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="DrivingStereo",
        data_root=data_root + "test/",
        truth="depth",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="DepthMetric", protocol="drivingstereo")
test_evaluator = val_evaluator

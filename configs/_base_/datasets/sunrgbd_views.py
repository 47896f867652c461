"""SUN RGB-D frames with photographs: 20,000 random points, of which 2048 spread ones; 256 x 352 pixels.

``data_root`` has VoteNet's clouds beside ``sunrgbd_trainval/{image,calib}``, or the data set's own files.
"""

data_root = "data/sunrgbd/"
test_pipeline = [
    dict(type="LoadPoints"),
    dict(type="LoadSceneViews", size=(256, 352), cloud="scan"),
    dict(type="SamplePoints", count=20_000),
    dict(type="SamplePoints", count=2048, method="farthest"),
    dict(type="PackSceneInputs"),
]
_frames = dict(type="SunRgbdViews", data_root=data_root, version="v1")
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**_frames, split="train", pipeline=test_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**_frames, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator

"""ScanNet frames as its tools export them, every 25th with two neighbours; clouds of their depth maps.

``data_root`` has a folder a scan with ``color``, ``depth``, ``pose`` and ``intrinsic``.
"""

data_root = "data/scannet_frames/"
test_pipeline = [
    dict(type="LoadSceneViews", size=(256, 352), cloud="views"),
    dict(type="SamplePoints", count=20_000),
    dict(type="SamplePoints", count=2048, method="farthest"),
    dict(type="PackSceneInputs"),
]
_frames = dict(type="PosedSceneViews", data_root=data_root, every=25, num_views=3, gap=10)
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**_frames, scenes="data/scannetv2_train.txt", pipeline=test_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**_frames, scenes="data/scannetv2_val.txt", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator

"""Features of the small HUNet, for ``dense3d infer``; there is nothing to train.

The checkpoint is one of ``msm_hunet-tiny_synthetic-rooms.py``.
"""

_base_ = ["../_base_/runtime.py", "../_base_/models/hunet_tiny.py"]

model = dict(type="SceneFeatures", data_preprocessor=dict(type="PointDataPreprocessor"))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticRooms",
        data_root="data/synthetic/rooms_scanned/",
        split="val",
        test_mode=True,
        pipeline=[
            dict(type="LoadPoints"),
            dict(type="PackPointInputs", features=("colors", "normals"), fill=0.0),
        ],
    ),
)

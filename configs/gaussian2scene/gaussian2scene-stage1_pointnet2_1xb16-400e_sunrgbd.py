"""Stage one with the trunk of VoteNet on SUN RGB-D; as many scenes a step as PiMAE."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sunrgbd_views.py",
    "../_base_/models/gaussian2scene_stage1_pointnet2.py",
    "../_base_/schedules/pimae_400e.py",
]

_pipeline = [
    dict(type="LoadPoints"),
    dict(type="LoadSceneViews", size=(256, 352), cloud="scan"),
    dict(type="SamplePoints", count=20_000),
    dict(type="PackSceneInputs"),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=_pipeline))
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(accumulative_counts=16)

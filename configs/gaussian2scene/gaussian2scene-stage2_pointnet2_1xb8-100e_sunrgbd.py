"""Stage two with the trunk of VoteNet on SUN RGB-D.

Starts from the last checkpoint of ``gaussian2scene-stage1_pointnet2_1xb16-400e_sunrgbd.py``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sunrgbd_views.py",
    "../_base_/models/gaussian2scene_stage1_pointnet2.py",
    "../_base_/schedules/gaussian2scene_100e.py",
]

pretrained = "work_dirs/gaussian2scene-stage1_pointnet2_1xb16-400e_sunrgbd/epoch_401.pth"
model = dict(
    _delete_=True,
    type="Gaussian2SceneStage2",
    data_preprocessor=dict(type="SceneDataPreprocessor"),
    autoencoder={{_base_.model}},
    weights=dict(render=1.0, geometry=1.0, groups=1.0, depth=0.0),
    ssim_weight=0.2,
    render_scale=0.5,
    init_cfg=dict(type="Pretrained", checkpoint=pretrained),
)
_pipeline = [
    dict(type="LoadPoints"),
    dict(type="LoadSceneViews", size=(256, 352), cloud="scan"),
    dict(type="SamplePoints", count=20_000),
    dict(type="PackSceneInputs"),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=_pipeline))
test_dataloader = val_dataloader

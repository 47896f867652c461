"""Stage two of Gaussian2Scene on SUN RGB-D: one photograph a scene.

Starts from the last checkpoint of ``gaussian2scene-stage1_1xb128-400e_sunrgbd.py``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sunrgbd_views.py",
    "../_base_/models/gaussian2scene_stage1.py",
    "../_base_/schedules/gaussian2scene_100e.py",
]

pretrained = "work_dirs/gaussian2scene-stage1_1xb128-400e_sunrgbd/epoch_401.pth"
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
train_dataloader = dict(batch_size=8)

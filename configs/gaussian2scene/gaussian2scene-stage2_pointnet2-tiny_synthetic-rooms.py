"""A small stage two of Gaussian2Scene on 160 synthetic rooms, two photographs a time: minutes on a CPU.

Starts from ``gaussian2scene-stage1_pointnet2-tiny_synthetic-rooms.py``. The colour of a synthetic thing does
not follow from its shape: Gaussians begin with that of the nearest point, which the encoder does not see.
"""

_base_ = ["./gaussian2scene-stage1_pointnet2-tiny_synthetic-rooms.py"]

pretrained = "work_dirs/gaussian2scene-stage1_pointnet2-tiny_synthetic-rooms/iter_1000.pth"
model = dict(
    _delete_=True,
    type="Gaussian2SceneStage2",
    data_preprocessor=dict(type="SceneDataPreprocessor"),
    autoencoder={{_base_.model}},
    scale_range=(0.01, 0.3),
    render_scale=0.5,
    colours="residual",
    init_cfg=dict(type="Pretrained", checkpoint=pretrained),
)
_views = dict(type="LoadSceneViews", size=(96, 128), cloud="scan", count=2)
_take = [dict(type="SamplePoints", count=4096), dict(type="PackSceneInputs", features=("colors",))]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(pipeline=[dict(type="LoadPoints"), dict(**_views, shuffle=True), *_take]),
)
val_dataloader = dict(batch_size=4, dataset=dict(pipeline=[dict(type="LoadPoints"), _views, *_take]))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1.0))
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=30),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=30,
        end=max_iters,
        T_max=max_iters - 30,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))

"""A small 3DETR on 16 of 160 synthetic rooms (10 % of the labels), from scratch: minutes on a CPU.

``threedetr-10pct-gaussian2scene_pointnet2-tiny_synthetic-rooms.py`` starts from Gaussian2Scene.
"""

_base_ = ["../synthetic/threedetr_pointnet2-tiny_synthetic-rooms.py"]

data_root = "data/synthetic/room_views_20000/"
synthetic_data = dict(root=data_root, views=4, size=(128, 96))
_take = [dict(type="LoadPoints"), dict(type="SamplePoints", count=4096)]
_pack = dict(type="PackPointInputs", features=("height",))
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        indices=16,
        pipeline=[
            *_take,
            dict(type="RandomFlipPoints", axes="xy"),
            dict(type="RandomScalePoints", low=0.9, high=1.1, per_axis=False),
            _pack,
        ],
    )
)
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=[*_take, _pack]))
test_dataloader = val_dataloader
model = dict(backbone=dict(in_channels=1))
max_iters = 400
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=50,
        end=max_iters,
        T_max=max_iters - 50,
        eta_min=1e-5,
    ),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))

"""A small stage one of Gaussian2Scene on 160 synthetic rooms with photographs: minutes on a CPU.

Its encoder of points is the trunk of ``threedetr-10pct_pointnet2-tiny_synthetic-rooms.py``, which takes all
of it over.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/synthetic_room_views.py",
    "../_base_/schedules/point_tiny.py",
]

model = dict(
    type="Gaussian2SceneStage1",
    data_preprocessor=dict(type="SceneDataPreprocessor"),
    preset="gaussian2scene",
    dim=128,
    num_groups=128,
    group_size=32,
    image_encoder=dict(
        arch=dict(
            embed_dim=128,
            depth=2,
            num_heads=4,
            mlp_ratio=2.0,
            position=None,
            class_token=False,
            final_norm=False,
        )
    ),
    point_encoder=dict(
        type="PointNet2",
        in_channels=1,
        num_points=(512, 256, 128),
        radii=(0.25, 0.5, 1.0),
        num_neighbours=(16, 16, 16),
        channels=((32, 64), (64, 128), (128, 128)),
        propagation=((128, 128),),
    ),
    shared_encoder=dict(depth=1, num_heads=4, feedforward_dim=128, dropout=0.0),
    decoder=dict(dim=96, shared_depth=1, image_depth=1, point_depth=1, mlp_ratio=2.0, image_mlp_ratio=2.0),
)
max_iters = 1000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=40,
        end=max_iters,
        T_max=max_iters - 40,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)

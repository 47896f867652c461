"""A small 3DETR on synthetic rooms with oriented boxes: minutes on a CPU.

Its backbone has levels as VoteNet's, so that few layers of the transformer are enough. A centre is half a
metre at most from its query's point, hence the many queries.
"""

_base_ = ["./votenet_pointnet2-tiny_synthetic-rooms.py"]

model = dict(
    _delete_=True,
    type="ThreeDETR",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(
        type="PointNet2",
        in_channels=4,
        num_points=(512, 256, 128),
        radii=(0.25, 0.5, 1.0),
        num_neighbours=(16, 16, 16),
        channels=((32, 64), (64, 128), (128, 128)),
        propagation=((128, 128),),
    ),
    num_classes=12,
    num_heading_bins=12,
    num_queries=128,
    query_content="points",
    encoder=dict(num_layers=1, feedforward_dim=128, dropout=0.0),
    decoder=dict(dim=128, num_layers=3, feedforward_dim=128, dropout=0.0),
    head_dropout=0.0,
    criterion=dict(cost_centre=5.0, no_object=0.2),
)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3), clip_grad=dict(max_norm=1.0))
max_iters = 1600
train_cfg = dict(max_iters=max_iters, val_interval=200)
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
default_hooks = dict(checkpoint=dict(interval=200))

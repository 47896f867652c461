"""A small VoteNet on synthetic rooms with oriented boxes: minutes on a CPU.

Beside the height it reads normals, which scanners' meshes have, too.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/synthetic_rooms_detection.py",
    "../_base_/schedules/detector_tiny.py",
]

_features = ("height", "normals")
_take = [dict(type="LoadPoints"), dict(type="SamplePoints", count=4096)]
_pack = dict(type="PackPointInputs", features=_features)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            *_take,
            dict(type="RandomFlipPoints", axes="xy"),
            dict(type="RandomScalePoints", low=0.9, high=1.1, per_axis=False),
            _pack,
        ]
    )
)
val_dataloader = dict(dataset=dict(pipeline=[*_take, _pack]))
test_dataloader = val_dataloader
# means of the training rooms: door, window, picture, table, chair, sofa, bed, shelf, cabinet, lamp, bathtub,
# monitor
mean_sizes = [
    (0.867, 0.05, 2.055),
    (1.193, 0.04, 0.973),
    (0.63, 0.03, 0.504),
    (1.274, 0.967, 0.744),
    (0.543, 0.589, 1.049),
    (1.926, 0.853, 0.807),
    (1.36, 2.048, 0.935),
    (1.048, 0.335, 1.464),
    (0.968, 0.518, 1.275),
    (0.511, 0.387, 1.148),
    (1.599, 0.757, 0.821),
    (0.835, 0.265, 0.697),
]
model = dict(
    type="VoteNet",
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
    mean_sizes=mean_sizes,
    num_heading_bins=12,
    proposals=dict(num_proposals=64, sampling="seed_fps", channels=(64, 64, 64)),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=250))
log_processor = dict(by_epoch=False)

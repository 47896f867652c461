"""A NeRF-RPN for grids of 64 voxels a side and CPU cores; its encoder is that of the small NeRF-MAE."""

model = dict(
    type="NerfRPN",
    data_preprocessor=dict(type="GridDataPreprocessor", resolution=64),
    backbone=dict(
        type="Swin3D",
        arch=dict(embed_dim=24, depths=(2, 2, 2, 2), num_heads=(3, 6, 12, 24)),
        drop_path_rate=0.1,
        position_table=True,
    ),
    neck=dict(type="FPN3D", out_channels=32),
    bbox_head=dict(
        type="FCOSHead3D",
        num_convs=2,
        num_groups=8,
        level_ranges=((-1, 8), (8, 16), (16, 32), (32, float("inf"))),
        pre_nms=300,
        post_nms=300,
    ),
)
val_evaluator = dict(type="Boxes3DMetric", protocol="nerf-rpn")
test_evaluator = val_evaluator

"""A small Point-MAE for minutes on CPU cores: 32 patches of 16 points, four blocks of 96 channels."""

model = dict(
    type="PointMAE",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    encoder=dict(embed_dim=96, depth=4, num_heads=3, num_groups=32, group_size=16, drop_path_rate=0.1),
    decoder=dict(depth=2, num_heads=3),
    mask_ratio=0.6,
    mask_type="rand",
    loss="cdl2",
)

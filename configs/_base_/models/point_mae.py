"""Point-MAE as published: 64 patches of 32 points, 12 blocks of 384 channels, a decoder of 4 blocks."""

model = dict(
    type="PointMAE",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    encoder=dict(embed_dim=384, depth=12, num_heads=6, num_groups=64, group_size=32, drop_path_rate=0.1),
    decoder=dict(depth=4, num_heads=6),
    mask_ratio=0.6,
    mask_type="rand",
    loss="cdl2",
)

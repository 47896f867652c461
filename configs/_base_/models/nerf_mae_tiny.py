"""A NeRF-MAE for grids of 64 voxels a side and CPU cores: a quarter of the channels, two blocks a stage."""

tiny_encoder = dict(
    arch=dict(embed_dim=24, depths=(2, 2, 2, 2), num_heads=(3, 6, 12, 24)), drop_path_rate=0.1
)
model = dict(
    type="NeRFMAE",
    encoder=tiny_encoder,
    mask_ratio=0.75,
    data_preprocessor=dict(type="GridDataPreprocessor", resolution=64),
)

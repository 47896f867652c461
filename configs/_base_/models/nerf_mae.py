"""NeRF-MAE on grids of 160 voxels a side."""

model = dict(
    type="NeRFMAE",
    encoder=dict(arch="swin_s", drop_path_rate=0.1),
    decoder="unet",
    mask_ratio=0.75,
    data_preprocessor=dict(type="GridDataPreprocessor", resolution=160),
)

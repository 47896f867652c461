"""Voxel super-resolution from 160 to 256 voxels a side, as NeRF-MAE is fine-tuned."""

model = dict(
    type="VoxelSuperResolution",
    encoder=dict(arch="swin_s", drop_path_rate=0.1),
    factor=1.6,
    data_preprocessor=dict(type="GridDataPreprocessor", resolution=160),
)

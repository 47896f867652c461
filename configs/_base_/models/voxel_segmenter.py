"""Voxel semantics on grids of 160 voxels a side, as NeRF-MAE is fine-tuned."""

model = dict(
    type="VoxelSegmenter",
    encoder=dict(arch="swin_s", drop_path_rate=0.1),
    num_classes=19,
    data_preprocessor=dict(type="GridDataPreprocessor", resolution=160),
)

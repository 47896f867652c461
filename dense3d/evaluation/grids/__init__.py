"""Evaluation on radiance grids: reconstruction of colour and opacity, classes of voxels."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "reconstruction": ["GridReconstruction"],
        "voxel_iou": ["VoxelIoU", "voxel_counts", "voxel_scores"],
    },
)

"""Sparse voxels: pyramids of them, convolution and attention on them, features at points."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "attention": ["CurveAttention"],
        "convolution": ["DownConv", "SubmanifoldConv", "UpConv"],
        "levels": ["Halving", "SparseLevel", "SparsePyramid", "build_pyramid", "match_levels"],
        "sampling": ["sample_level", "sample_levels"],
        "scenes": ["VoxelScene", "join_scenes", "voxelize_points", "voxelize_scene"],
    },
)

"""Radiance fields as voxel grids: fitted directly, or sampled from a field of nerfstudio."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "boxes": ["scene_box", "grid_shape"],
        "extraction": ["GridSource", "extract_radiance_grid"],
        "fitting": ["GridFitter"],
        "settings": ["GridSettings"],
        "voxel_field": ["VoxelField"],
    },
)

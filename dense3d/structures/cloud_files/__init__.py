"""Point clouds in files: ply, pcd, text, NumPy, HDF5, flat binaries, las, laz, e57, and meshes to sample."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "reading": ["CLOUD_SUFFIXES", "MAX_POINTS", "MESH_SUFFIXES", "read_cloud"],
        "writing": ["write_cloud"],
    },
)

"""Optical flow: readers of its files and the data sets. Flow is (u, v) in pixels, ``inf`` where unknown."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={"flow_files": ["read_flo", "read_kitti_flow", "write_flo", "write_kitti_flow"]},
)

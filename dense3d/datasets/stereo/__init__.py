"""Stereo data sets: readers of their files and calibrations, data sets, transforms.

Names are imported on first use. Disparity is ``x_left - x_right`` in pixels, positive, ``inf`` where unknown;
depth is in metres, 0 where unknown; images are RGB.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "formats": ["read_depth", "read_disparity", "read_flow", "read_nonoccluded"],
        "pfm": ["read_pfm", "write_pfm"],
        "pictures": ["read_picture", "read_scaled_png", "write_scaled_png"],
        "rigs": ["read_rig", "write_rig"],
    },
)

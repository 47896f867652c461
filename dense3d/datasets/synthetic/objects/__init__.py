"""Families of objects with parts: meshes with measures drawn at random, sampled to clouds.

    cloud = make_object("chair", np.random.default_rng(0), num_points=2048)

Names are imported on first use.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "families": ["FAMILIES", "PART_NAMES", "build_parts"],
        "sampling": ["BACKGROUND", "ObjectCloud", "make_object", "sample_parts"],
    },
)

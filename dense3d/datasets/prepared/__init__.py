"""From the files of ScanNet and SUN RGB-D, as they are released, to one small file a scene.

Names are imported on first use.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "manifest": ["FORMAT", "Manifest", "read_manifest"],
        "preparation": ["KINDS", "prepare"],
        "scene_files": ["read_scene", "write_scene"],
    },
)

"""Photographs with known cameras: nerfstudio and instant-ngp, Blender, ScanNet, COLMAP, in one convention.

Cameras are :class:`~dense3d.structures.PinholeCamera`: axes x right, y down, z forward (OpenCV), a pixel's
whole-numbered coordinate is its centre, ``camera_to_world`` in the files' own units.

>>> from dense3d.datasets.posed_rgb import read_scene
>>> read_scene("data/nerf/fox").frames[0].camera.width  # doctest: +SKIP
270
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "clouds": ["frame_cloud", "frames_cloud"],
        "conventions": ["PoseCheck", "check_poses", "require_fitting_poses"],
        "distortion": ["Distortion"],
        "frames": ["PosedFrame", "PosedScene"],
        "layouts": ["read_scene"],
        "structure_from_motion": ["structure_from_motion"],
    },
)

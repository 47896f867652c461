"""Detectors of 3D boxes."""

from dense3d.detection3d import monodino_detr

__all__ = ["monodino_detr"]

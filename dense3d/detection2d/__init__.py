"""Detectors in images: on the detector interface of mmdet, with any backbone of the registry."""

from dense3d.detection2d import detr, relation_detr, relation_plugin

__all__ = ["detr", "relation_detr", "relation_plugin"]

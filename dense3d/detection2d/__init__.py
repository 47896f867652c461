"""Detectors in images: on the detector interface of mmdet, with any backbone of the registry."""

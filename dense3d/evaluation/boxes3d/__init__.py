"""Evaluation of oriented 3D boxes: AP and AR of indoor detectors, in numbers of the official evaluators."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "average_precision": ["ClassFigures", "evaluate_classes", "match"],
        "files": ["read_scene_boxes", "write_scene_boxes"],
        "metric": ["Boxes3DMetric"],
        "protocols": ["PROTOCOLS", "IndoorProtocol", "get_protocol"],
        "result": ["Boxes3DResult"],
        "scene_boxes": ["SceneBoxes"],
    },
)

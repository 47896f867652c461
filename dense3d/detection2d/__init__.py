"""Detectors in images: on the detector interface of mmdet, with any backbone of the registry."""

import dense3d.registry  # noqa: F401 (first: it makes mmdet.models importable without mmcv's extension)
from dense3d.detection2d import (
    batched_targets,
    co_detr,
    detr,
    early_exit,
    relation_detr,
    relation_plugin,
    vit_comer_neck,
)

__all__ = [
    "batched_targets",
    "co_detr",
    "detr",
    "early_exit",
    "relation_detr",
    "relation_plugin",
    "vit_comer_neck",
]

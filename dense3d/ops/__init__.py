"""Functions on tensors: no weights, no registry. Each runs everywhere; ``backends()`` lists what serves it.

Names are imported on first use, so that ``import dense3d.ops`` costs nothing.
"""

from __future__ import annotations

import importlib

# public name -> module that defines it
_EXPORTS: dict[str, str] = {
    "backends": "dense3d.ops.dispatch",
    "batched_nms": "dense3d.ops.box_nms",
    "bbox_overlaps": "dense3d.ops.boxes",
    "box_iou_3d": "dense3d.ops.rotated3d",
    "box_iou_3d_loss": "dense3d.ops.rotated3d",
    "box_iou_3d_reference": "dense3d.ops.rotated3d",
    "box_iou_rotated": "dense3d.ops.rotated",
    "box_iou_rotated_reference": "dense3d.ops.rotated",
    "carafe": "dense3d.ops.upsampling",
    "deform_conv2d": "dense3d.ops.deform_conv",
    "deform_conv2d_reference": "dense3d.ops.deform_conv",
    "deform_roi_pool": "dense3d.ops.roi",
    "install_mmcv_extension": "dense3d.ops.mmcv_imports",
    "line_nms": "dense3d.ops.lane_nms",
    "linear_sum_assignment": "dense3d.ops.assignment",
    "masked_conv2d": "dense3d.ops.masked_conv",
    "mmcv_extension_state": "dense3d.ops.mmcv_imports",
    "modulated_deform_conv2d": "dense3d.ops.deform_conv",
    "multi_scale_deformable_attention": "dense3d.ops.deformable_attention",
    "multi_scale_deformable_attention_reference": "dense3d.ops.deformable_attention",
    "nms": "dense3d.ops.box_nms",
    "nms_3d": "dense3d.ops.rotated3d",
    "nms_match": "dense3d.ops.box_nms",
    "nms_rotated": "dense3d.ops.rotated",
    "point_sample": "dense3d.ops.sampling",
    "points_in_boxes_all": "dense3d.ops.boxes3d",
    "points_in_boxes_part": "dense3d.ops.boxes3d",
    "psa_mask": "dense3d.ops.spatial_attention",
    "register_backend": "dense3d.ops.dispatch",
    "roi_align": "dense3d.ops.roi",
    "roi_align_reference": "dense3d.ops.roi",
    "roi_align_rotated": "dense3d.ops.roi",
    "roi_pool": "dense3d.ops.roi",
    "select_backend": "dense3d.ops.dispatch",
    "sigmoid_focal_loss": "dense3d.ops.focal_loss",
    "soft_nms": "dense3d.ops.box_nms",
    "softmax_focal_loss": "dense3d.ops.focal_loss",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})

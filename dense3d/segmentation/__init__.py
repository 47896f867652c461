"""Segmentation by mask transformers: panoptic, instance and semantic, with any backbone of the registry."""

from lazy_loader import attach

from dense3d.ops import install_mmcv_extension

install_mmcv_extension()  # before a module here imports mmdet.models

__getattr__, __dir__, __all__ = attach(
    __name__,
    submodules=["eco_m2f", "kmax_deeplab", "mask2former"],
    submod_attrs={
        "panoptic_map": ["PanopticMap", "PanopticSegment", "mask_boxes", "semantic_scores", "top_instances"],
        "panoptic_model": ["PanopticModel", "PanopticPostProcess"],
        "targets": ["annotated_segments", "check_labels", "segments_of_batch", "segments_of_classes"],
    },
)

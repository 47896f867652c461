"""Detectors in images: on the detector interface of mmdet, with any backbone of the registry."""

from lazy_loader import attach

from dense3d.ops import install_mmcv_extension

install_mmcv_extension()  # before a module here imports mmdet.models

__getattr__, __dir__, __all__ = attach(
    __name__,
    submodules=[
        "batched_targets",
        "co_detr",
        "detr",
        "early_exit",
        "relation_detr",
        "relation_plugin",
        "vit_comer_neck",
    ],
)

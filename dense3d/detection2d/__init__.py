"""Detectors in images: on the detector interface of mmdet, with any backbone of the registry."""

from lazy_loader import attach

from dense3d.ops import install_mmcv_extension

install_mmcv_extension()  # before a module here imports mmdet.models

__getattr__, __dir__, __all__ = attach(
    __name__,
    submodules=["co_detr", "relation_detr", "vidt"],
    submod_attrs={
        "batched_targets": ["BatchedDETRHead"],
        "detr": ["PreNormDETR", "QueryCellCost"],
        "early_exit": ["EarlyExitDINO", "EarlyExitDeformableDETR"],
        "relation_plugin": [
            "RelationConditionalDETR",
            "RelationDABDETR",
            "RelationDINO",
            "RelationDeformableDETR",
        ],
        "vit_comer_neck": ["ViTCoMerNeck"],
    },
)

"""Co-DETR: a DETR trained together with detectors that assign one object to many candidates.

Zong et al., "DETRs with Collaborative Hybrid Assignments Training", ICCV 2023 (arXiv 2211.12860), around
DINO: the official code's Co-DINO. The auxiliary heads train only; detections come from the decoder.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "auxiliary_heads": ["ATSSAuxiliaryHead", "FasterRCNNAuxiliaryHead"],
        "detector": ["CoDINO"],
        "decoder": ["CoDINOHead"],
    },
)

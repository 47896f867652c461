"""Co-DETR: a DETR trained together with detectors that assign one object to many candidates.

Zong et al., "DETRs with Collaborative Hybrid Assignments Training", ICCV 2023 (arXiv 2211.12860), around
DINO: the official code's Co-DINO. The auxiliary heads train only; detections come from the decoder.
"""

from dense3d.detection2d.co_detr.auxiliary_heads import ATSSAuxiliaryHead, FasterRCNNAuxiliaryHead
from dense3d.detection2d.co_detr.detector import CoDINO
from dense3d.detection2d.co_detr.head import CoDINOHead

__all__ = ["ATSSAuxiliaryHead", "CoDINO", "CoDINOHead", "FasterRCNNAuxiliaryHead"]

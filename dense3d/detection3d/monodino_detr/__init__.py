"""MonoDETR (arXiv 2203.13310) and MonoDINO-DETR (arXiv 2502.00315): 3D boxes from one image."""

from dense3d.detection3d.monodino_detr.depth_sources import PyramidDepthSource, RelativeDepthSource
from dense3d.detection3d.monodino_detr.detector import MonoDETR, MonoDINODETR
from dense3d.detection3d.monodino_detr.dpt import DPTHead
from dense3d.detection3d.monodino_detr.fusion import HierarchicalFeatureFusion

__all__ = [
    "DPTHead",
    "HierarchicalFeatureFusion",
    "MonoDETR",
    "MonoDINODETR",
    "PyramidDepthSource",
    "RelativeDepthSource",
]

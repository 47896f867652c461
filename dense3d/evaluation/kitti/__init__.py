"""KITTI's average precision of 2D, BEV and 3D boxes and of orientation, as the C++ devkit computes it.

Everything runs on the CPU in double precision; torch is not loaded. Names are imported on first use.

Differences to the Python evaluators in use (kitti-object-eval-python and its copies in MonoDETR, OpenPCDet
and mmdetection3d), where they differ from the devkit:

* Overlaps of rotated boxes are exact. Their float32 kernel gives 0, 1/3 or more than 1 for boxes that share
  corners or sides, so that labels evaluated against themselves score near 0 in BEV and 3D; here all match.
* Every frame must have a label and a result file. They pair the files by position or evaluate those present.
* Orientation is left out when any detection lacks its angle (alpha -10). They look at one detection only.
* A threshold without true and false positives has precision 0, not NaN.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "average_precision": ["evaluate"],
        "files": ["read_pair"],
        "protocol": ["DIFFICULTIES", "METRICS", "Protocol"],
        "result": ["KittiResult"],
    },
)

"""CCNeXt on DrivingStereo, 288 x 640 (arXiv 2509.22627).

Focal length and scale are those of the official code for every pair: 1.13911 of the width, and 5.4 metres a
nominal unit of depth. Published with the code: abs_rel 5.2 %, a1 97.0 %.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/ccnext.py",
    "../_base_/datasets/drivingstereo.py",
    "../_base_/schedules/ccnext_20e.py",
]

model = dict(normalised_focal=1.13911, metric_scale=5.4)

"""CCNeXt on KITTI's Eigen split, 384 x 1280, against the lidar's depth with Garg's crop (arXiv 2509.22627).

Focal length and scale are those of the official code for every pair: 0.58 of the width, and 5.4 metres a
nominal unit of depth. Official weights: ``dense3d convert ccnext encoder.pth decoder.pth OUT``; those with a
decoder of the left image alone need ``--cfg-options model.decoder.dual=False``. Published with the
code: abs_rel 7.0 %, a1 92.6 %.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/ccnext.py",
    "../_base_/datasets/kitti_eigen.py",
    "../_base_/schedules/ccnext_20e.py",
]

model = dict(normalised_focal=0.58, metric_scale=5.4)

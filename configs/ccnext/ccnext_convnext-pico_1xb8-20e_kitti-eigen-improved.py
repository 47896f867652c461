"""CCNeXt on KITTI's Eigen split, 384 x 1280, against the improved depth of KITTI's depth annotation.

The same training as without ``-improved``. Test frames without an improved depth map are left out (652 of 697
have one); there is no crop. Published with the code: abs_rel 3.1 %, a1 99.2 %.
"""

_base_ = ["./ccnext_convnext-pico_1xb8-20e_kitti-eigen.py"]

val_dataloader = dict(dataset=dict(depth="improved", depth_root="data/kitti_depth/"))
test_dataloader = val_dataloader
val_evaluator = dict(protocol="kitti-improved")
test_evaluator = val_evaluator

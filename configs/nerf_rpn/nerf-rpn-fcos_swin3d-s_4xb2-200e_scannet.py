"""NeRF-RPN on ScanNet: the anchor-free head on a small 3D Swin."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_rpn.py",
    "../_base_/datasets/scannet_boxes.py",
    "../_base_/schedules/nerf_rpn_200e.py",
]

default_hooks = dict(checkpoint=dict(save_best="boxes3d/recall50_top2500", rule="greater"))

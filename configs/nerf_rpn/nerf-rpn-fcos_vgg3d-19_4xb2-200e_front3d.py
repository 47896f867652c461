"""NeRF-RPN on Front3D-NeRF: the anchor-free head on a 3D VGG-19."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_rpn.py",
    "../_base_/datasets/front3d_boxes.py",
    "../_base_/schedules/nerf_rpn_200e.py",
]

model = dict(
    backbone=dict(_delete_=True, type="VGG3D", architecture="EF"),
)
default_hooks = dict(checkpoint=dict(save_best="boxes3d/recall50_top2500", rule="greater"))

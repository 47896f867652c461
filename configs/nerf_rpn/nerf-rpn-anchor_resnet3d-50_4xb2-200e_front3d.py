"""NeRF-RPN on Front3D-NeRF: the anchor-based head on a 3D ResNet-50."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_rpn.py",
    "../_base_/datasets/front3d_boxes.py",
    "../_base_/schedules/nerf_rpn_200e.py",
]

model = dict(
    backbone=dict(_delete_=True, type="ResNet3D", depths=(3, 4, 6, 3)),
    neck=dict(smooth_last=False, initialisation="kaiming"),
    bbox_head=dict(_delete_=True, type="AnchorHead3D", rotated=True),
)
default_hooks = dict(checkpoint=dict(save_best="boxes3d/recall50_top2500", rule="greater"))

"""NeRF-RPN on Hypersim from an encoder of NeRF-MAE.

Set ``model.backbone.init_cfg=dict(type="Pretrained", checkpoint=FILE)`` to a checkpoint of NeRF-MAE, ours or
an official one; without it this is training from scratch by the same recipe.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_rpn.py",
    "../_base_/datasets/hypersim_boxes.py",
    "../_base_/schedules/nerf_rpn_1000e.py",
]

model = dict(
    data_preprocessor=dict(resolution=200),
    backbone=dict(position_table=True, drop_path_rate=0.1),
)
default_hooks = dict(checkpoint=dict(save_best="boxes3d/AP50", rule="greater"))

"""A small NeRF-RPN on synthetic rooms of 64 voxels a side, from NeRF-MAE: minutes on two CPU cores.

A third of the rooms has boxes for it. Run ``nerf-mae_swin3d-tiny_synthetic-grids.py`` first;
``nerf-rpn-scratch_swin3d-tiny_synthetic-grids.py`` is the same without pre-training.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_rpn_tiny.py",
    "../_base_/datasets/synthetic_grids.py",
    "../_base_/schedules/point_tiny.py",
]

pretrained = "work_dirs/nerf-mae_swin3d-tiny_synthetic-grids/iter_400.pth"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=pretrained)))
train_dataloader = dict(dataset=dict(boxes="obb", share=1 / 3))
val_dataloader = dict(dataset=dict(boxes="obb"))
test_dataloader = val_dataloader
max_iters = 400
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=20,
        end=max_iters,
        T_max=max_iters - 20,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)

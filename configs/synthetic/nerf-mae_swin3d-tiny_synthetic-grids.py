"""NeRF-MAE of a tiny 3D Swin on 60 synthetic rooms of 64 voxels a side: minutes on two CPU cores."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_mae_tiny.py",
    "../_base_/datasets/synthetic_grids.py",
    "../_base_/schedules/point_tiny.py",
]

val_evaluator = dict(type="GridReconstruction")
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
max_iters = 400
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=40,
        end=max_iters,
        T_max=max_iters - 40,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)

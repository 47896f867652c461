"""NeRF-MAE of the small 3D Swin on the release's mix of scenes; the paper's numbers are of epoch 1200."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_mae.py",
    "../_base_/datasets/nerf_mix.py",
    "../_base_/schedules/nerf_mae_2000e.py",
]

val_evaluator = dict(type="GridReconstruction")
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(interval=200, max_keep_ckpts=-1))

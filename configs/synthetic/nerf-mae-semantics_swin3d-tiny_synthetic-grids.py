"""Voxel semantics of synthetic rooms by the tiny network: minutes on two CPU cores.

Set ``model.pretrained`` to a checkpoint of ``nerf-mae_swin3d-tiny_synthetic-grids`` to start from it.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/nerf_mae_tiny.py",
    "../_base_/datasets/synthetic_grids.py",
    "../_base_/schedules/point_tiny.py",
]

model = dict(
    _delete_=True,
    type="VoxelSegmenter",
    encoder={{_base_.tiny_encoder}},
    num_classes=15,
    data_preprocessor=dict(type="GridDataPreprocessor", resolution=64),
)
train_dataloader = dict(dataset=dict(labels="semantics", pipeline={{_base_.test_pipeline}}))
val_dataloader = dict(dataset=dict(labels="semantics"))
test_dataloader = dict(dataset=dict(labels="semantics"))
val_evaluator = dict(type="VoxelIoU")
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=1.0))
max_iters = 120
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

"""Masked scene modelling of a small HUNet on 60 synthetic rooms, without labels: minutes on one CPU core.

``msm-linear_hunet-tiny_synthetic-rooms.py`` is for probes and training on what it learns.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/hunet_tiny.py",
    "../_base_/datasets/synthetic_rooms.py",
    "../_base_/schedules/point_tiny.py",
]

model = dict(
    type="MaskedSceneModeling",
    mask_ratio=(0.4, 0.6),
    targets="whitened",
    momentum=0.98,
)
train_dataloader = dict(dataset=dict(pipeline={{_base_.views_pipeline}}))
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=3e-3))
max_iters = 1200
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
custom_hooks = [dict(type="TeacherHook")]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)

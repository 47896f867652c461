"""NeRF-MAE's recipe for super-resolution: AdamW with one cycle of rate and momentum, clipped gradients."""

max_epochs = 500
_rise = max_epochs * 3 // 10
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-4, betas=(0.95, 0.999), weight_decay=1e-3),
    clip_grad=dict(max_norm=0.1),
)
param_scheduler = [
    dict(
        type="OneCycleLR",
        eta_max=3e-4,
        total_steps=max_epochs,
        pct_start=0.3,
        div_factor=25.0,
        final_div_factor=1e4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingMomentum",
        eta_min=0.85,
        begin=0,
        end=_rise,
        T_max=_rise,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingMomentum",
        eta_min=0.95,
        begin=_rise,
        end=max_epochs,
        T_max=max_epochs - _rise,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

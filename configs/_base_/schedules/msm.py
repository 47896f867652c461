"""AdamW with a one-cycle rate by epoch. The authors' recipe is not published: these are values of ours."""

max_epochs = 800
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = [
    dict(
        type="OneCycleLR",
        eta_max=1e-3,
        total_steps=max_epochs,
        pct_start=0.05,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

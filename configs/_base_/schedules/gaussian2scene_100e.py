"""Stage two of Gaussian2Scene: 100 epochs of AdamW from 1e-4 along a cosine. Decided here, see its page."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=100, eta_min=1e-6, convert_to_iter_based=True)
]

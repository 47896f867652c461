"""AdamW, 80 000 iterations of 8 GPUs with 2 images each, the rate falling by (1 - t)^0.9: Semantic FPN's."""

max_iters = 80_000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=8_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    loss_scale=dict(init_scale=512),
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = [dict(type="PolyLR", power=0.9, begin=0, end=max_iters, eta_min=0.0, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=16)

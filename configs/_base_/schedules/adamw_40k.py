"""AdamW, 40 000 iterations of 8 GPUs with 4 images each, the rate falling by (1 - t)^0.9: Semantic FPN's."""

_base_ = "./adamw_80k.py"

max_iters = 40_000
train_cfg = dict(max_iters=max_iters, val_interval=4_000)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [dict(type="PolyLR", power=0.9, begin=0, end=max_iters, eta_min=0.0, by_epoch=False)]
auto_scale_lr = dict(base_batch_size=32)

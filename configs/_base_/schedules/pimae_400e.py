"""PiMAE's official training: AdamW, batches of 128, a step every two of them, 15 epochs of warm-up.

Vectors, biases and tokens have no weight decay. The official loop runs one epoch more than its 400.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=401, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys=dict(cls_token=dict(decay_mult=0.0), mask_token=dict(decay_mult=0.0)),
    ),
    accumulative_counts=2,
)
param_scheduler = [dict(type="LateCosineLR", total=400, warmup=15, start=1e-6, eta_min=1e-6)]

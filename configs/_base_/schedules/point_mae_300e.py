"""Point-MAE's official training: AdamW, warm-up and half a cosine an epoch late, 300 epochs and one more.

Vectors, biases and tokens have no weight decay, but the class token's position has, as in the official code.
Configs with other ``max_epochs`` state ``train_cfg`` and the cosine's ``total`` anew.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=301, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys=dict(cls_token=dict(decay_mult=0.0), mask_token=dict(decay_mult=0.0)),
    ),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [dict(type="LateCosineLR", total=300, warmup=10, start=1e-6, eta_min=1e-6)]

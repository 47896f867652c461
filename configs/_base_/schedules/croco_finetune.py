"""CroCo's fine-tuning as its official code has it: AdamW, an epoch of warm-up, then half a cosine to 0.

One learning rate for all parts, single precision, no gradient clipping. Configs with other ``max_epochs``
state ``train_cfg`` and the end of the cosine anew.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=32, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-5, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    # matrices and kernels alone have weight decay
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
_warm_up = dict(type="LinearLR", start_factor=1e-6, begin=0, end=1, convert_to_iter_based=True)
_cosine = dict(type="CosineAnnealingLR", begin=1, eta_min=0.0, convert_to_iter_based=True)
param_scheduler = [_warm_up, dict(end=32, T_max=31, **_cosine)]

"""CroCo's pre-training as its official code has it: AdamW, warm-up and half a cosine, updated at each step.

The cosine is laid out for twice the epochs that are trained. ``epochs_of_cosine``, ``warmup_epochs`` and
``max_epochs`` are those of the second version; a config for another number of images a step sets
``optim_wrapper.optimizer.lr`` to 1.5e-4 * images / 256.
"""

max_epochs, warmup_epochs, epochs_of_cosine = 125, 12, 250
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",  # single precision
    optimizer=dict(type="AdamW", lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    # vectors and biases have no weight decay; the mask token has three dimensions and has it
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR", by_epoch=True, begin=warmup_epochs, end=epochs_of_cosine,
        T_max=epochs_of_cosine - warmup_epochs, eta_min=0.0, convert_to_iter_based=True,
    ),
]  # fmt: skip

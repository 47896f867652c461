"""AdamW for 300 epochs in mixed precision, as DeiT and Swin: 20 epochs of warm-up, then a cosine.

The rate is that of 8 GPUs with 128 images each. No weight decay for vectors, biases and what the backbone's
``no_weight_decay`` names.
"""

max_epochs, warm_up = 300, 20
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=1.0),
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=warm_up, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=1024)

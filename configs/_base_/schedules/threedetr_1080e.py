"""3DETR's official training: AdamW, weight decay of all parameters, 1080 epochs, a cosine by iteration."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1080, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.1),
    clip_grad=dict(max_norm=0.1),
)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=0.002,
        by_epoch=True,
        begin=0,
        end=9,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        begin=9,
        end=1080,
        T_max=1071,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
